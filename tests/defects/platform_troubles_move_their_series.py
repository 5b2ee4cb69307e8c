"""No exporter of the routing daemons: the sessions are there, and no series tells of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.prometheus import Prometheus
from hotfire.waiting import until
from tests.world import World

EXPORTER, SERIES = "prometheus-bird-exporter", "bird_bfd_session_up"


@contextmanager
def broken(world: World) -> Iterator[None]:
    server = Prometheus(str(world.profile.prometheus_url))
    machines = world.rack.names()
    try:
        for machine in machines:
            world.rack.hold(machine, EXPORTER)
        until(lambda: not server.query(SERIES), within_seconds=60, what=f"{SERIES} gone")
        yield
    finally:
        for machine in machines:
            world.rack.release(machine, EXPORTER)
    until(lambda: server.query(SERIES), within_seconds=60, what=f"{SERIES} again")
