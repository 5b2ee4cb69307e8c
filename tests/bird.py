"""Another configuration of a lab machine's routing daemon, for as long as a test wants it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hotfire.lab.machine.machines import Rack
from hotfire.lab.network.fabric import BIRD_CONFIG
from hotfire.waiting import until

_SETTLED_SECONDS = 30.0


@contextmanager
def configured(rack: Rack, machine: str, change: Callable[[str], str]) -> Iterator[None]:
    """Change a machine's configuration of BIRD; inside and afterwards every session stands."""
    former = rack.spec(machine)["files"][BIRD_CONFIG]
    changed = change(former)
    assert changed != former, f"nothing to change in the configuration of {machine}"
    try:
        _load(rack, machine, changed)
        await_sessions(rack)
        yield
    finally:
        _load(rack, machine, former)
        await_sessions(rack)


def await_sessions(rack: Rack) -> None:
    """Wait until BGP and BFD stand on every machine."""
    until(
        lambda: not [row for machine in rack.names() for row in _fallen(rack, machine)],
        within_seconds=_SETTLED_SECONDS,
        what="every BGP and BFD session",
    )


def _load(rack: Rack, machine: str, text: str) -> None:
    rack.rewrite(machine, BIRD_CONFIG, text)
    rack.run(machine, ["birdc", "configure"])


def _fallen(rack: Rack, machine: str) -> list[str]:
    """Return the sessions of a machine that do not stand."""
    bgp = rack.run(machine, ["birdc", "show", "protocols"]).splitlines()
    bfd = rack.run(machine, ["birdc", "show", "bfd", "sessions"]).splitlines()
    rows = [row.split() for row in bgp if " BGP " in row]
    fallen = [f"{machine} {row[0]}" for row in rows if row[-1] != "Established"]
    paths = [row.split() for row in bfd if "." in row and len(row.split()) >= 6]
    return fallen + [f"{machine} bfd {row[1]}" for row in paths if row[2] != "Up"]
