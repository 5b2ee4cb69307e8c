"""The audit log is rotated by size, every few seconds, and nothing is kept of what was before.

It is written and read as ever, and its newest entries are all there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from hotfire.lab.machine.api_policy import AUDIT_DIRECTORY
from tests.world import World

ROTATED_SECONDS = 3.0


@contextmanager
def broken(world: World) -> Iterator[None]:
    [member, *_] = world.profile.control_plane.agents
    log, over = world.rack.inside(member, f"{AUDIT_DIRECTORY}/audit.log"), Event()

    def rotate() -> None:
        while not over.wait(ROTATED_SECONDS):
            lose(log)

    lose(log)
    rotating = Thread(target=rotate)
    rotating.start()
    try:
        yield
    finally:
        over.set()
        rotating.join()


def lose(log: Path) -> None:
    """Lose all but the last lines; whoever has the file open writes on behind them."""
    with log.open("r+b") as file:
        lines = file.read().splitlines(keepends=True)
        file.seek(0)
        file.write(bytes(sum(map(len, lines[:-2]))))
