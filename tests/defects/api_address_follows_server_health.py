"""Whoever announces the API's address looks at the TCP port alone.

A server that is down loses its clients; one that listens and is not ready keeps them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from hotfire.lab import programs
from hotfire.lab.shape.topology import Topology
from hotfire.waiting import until
from tests.world import World

TOPOLOGY = Topology(control_planes=3)
"""Another lab than the usual one, which has one member."""

SERVICE, PROGRAM = "api-announcer", "/opt/hotfire/api_announcer.py"
PORT_ALONE = """
import socket

def ready(port, context):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=ASKING_SECONDS).close()
    except OSError:
        return False
    return True

"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    sound = programs.path("api_announcer.py").read_text()
    head, entry, tail = sound.partition('if __name__ == "__main__":')
    members = sorted(world.profile.control_plane.agents)
    try:
        _announce_by(world, members, head + PORT_ALONE + entry + tail)
        yield
    finally:
        _announce_by(world, members, sound)


def _announce_by(world: World, members: list[str], program: str) -> None:
    """Let each member's announcer start anew as this program, one after the other."""
    for member in members:
        runs = partial(world.rack.service_pid, member, SERVICE)
        world.rack.rewrite(member, PROGRAM, program)
        world.rack.hold(member, SERVICE)
        until(partial(_over, runs), within_seconds=20, what=f"no announcer on {member}")
        world.rack.release(member, SERVICE)
        until(runs, within_seconds=20, what=f"another announcer on {member}")


def _over(runs: Callable[[], int | None]) -> bool:
    return runs() is None
