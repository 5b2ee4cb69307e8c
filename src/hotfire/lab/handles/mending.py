"""Undoing what was broken, and proving that everything is as it was before."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

from hotfire.errors import HarnessError, HotfireError, RollbackFailed
from hotfire.lab.handles import agents, facts, power, returned
from hotfire.lab.handles.records import ALL, Broken, MachineEntry, Records, due, ended_by_boot
from hotfire.lab.lab import Lab
from hotfire.lab.shape.topology import Topology
from hotfire.waiting import until

# Sessions return within 5 s, a service within 10; a machine boots and its node gets Ready.
_SAME_SECONDS, _BOOT_SECONDS = 60.0, 120.0
_UNDO_SECONDS = 15.0
_FROM_AFAR = (" routes", " node", " api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A handle that was put back."""

    name: str
    seconds: float
    compared: int
    """How many facts were found as before."""


def mend(lab: Lab, records: Records, name: str, *, because: str = "asked to") -> Mended | None:
    """Undo one broken handle and prove it; None: somebody else did meanwhile.

    Raises:
        RollbackFailed: it is not as before; the record then stays and tells why.
    """
    with records.alone(name):
        broken = records.get(name)
        return _mend(lab, records, broken, because) if broken else None


def mend_each(
    lab: Lab, records: Records, names: Iterable[str]
) -> Iterator[tuple[str, Mended | RollbackFailed | None]]:
    """Mend several handles, whatever becomes of the ones before; yield how each of them went."""
    for name in names:
        try:
            yield name, mend(lab, records, name)
        except RollbackFailed as error:
            yield name, error


def mend_due(lab: Lab, records: Records, name: str) -> Mended | None:
    """Mend a handle whose time is over; None: somebody else did, or gave it more time meanwhile.

    Raises:
        RollbackFailed: as `mend`.
    """
    with records.alone(name):
        over = [one for one in due(records.all()) if one.name == name]
        return _mend(lab, records, over[0], "its time is over") if over else None


def _mend(lab: Lab, records: Records, broken: Broken, because: str) -> Mended:
    began, name = monotonic(), broken.name
    try:
        topology, since = lab.topology(), datetime.now(UTC).replace(microsecond=0)
        undo(lab, topology, broken)
        if broken.powerless:
            _end_with_power(lab, records, broken.powerless)
        returned.await_nodes(lab, topology, broken, since)
        compared = _await_same(lab, topology, records, broken)
        # One at a time from here: whoever finds no other broken handle compares everything.
        with records.alone(ALL):
            compared = _await_same(lab, topology, records, broken) or compared
            mended = Mended(name=name, seconds=monotonic() - began, compared=compared)
            seconds = round(mended.seconds, 3)
            records.end(broken, because=because, took_seconds=seconds, facts_as_before=compared)
            return mended
    except (HotfireError, OSError) as error:
        records.note(broken, str(error))
        records.log(handle=name, event="not mended", because=because, problem=str(error))
        raise RollbackFailed(f"{name}: {error}") from error


def undo(lab: Lab, topology: Topology, broken: Broken) -> None:
    """Undo the power first, then what the agents did, last one first.

    Raises:
        HarnessError: an agent could not undo its part.
    """
    # A worker that was removed meanwhile took its part along.
    there = {machine.name for machine in topology.machines}
    if broken.powerless in there:
        power.on(lab, topology, broken.powerless)
    for entry in [one for one in reversed(broken.entries) if one.machine in there]:
        until(
            partial(_healed, lab, entry),
            within_seconds=_UNDO_SECONDS,
            what=f"{entry.op} undone on {entry.machine}",
            poll_seconds=0.3,
        )


def _end_with_power(lab: Lab, records: Records, machine: str) -> None:
    """End what else was broken on a machine whose boot has mended it: nobody else would tell."""
    on_since = datetime.now(UTC) - timedelta(seconds=lab.rack.age_seconds(machine) or 0.0)
    for name in ended_by_boot(records.all(), machine, on_since):
        # What is not as before stays in a record of its own.
        with contextlib.suppress(RollbackFailed):
            mend(lab, records, name, because=f"{machine} was booted")


def expected(records: Records, broken: Broken) -> facts.Facts:
    """Return the facts that must be as before, though other handles may still be broken.

    What others break too, and what follows from afar (routes, nodes), is left to whoever is last.

    Raises:
        HarnessError: nobody knows how it was before.
    """
    before = records.sound()
    if before is None:
        raise HarnessError("the lab's state from before is lost; `hotfire lab down` starts over")
    others = [one for one in records.all() if one.name != broken.name]
    if not others:
        return before
    shared = {name for one in others for name in one.machines}
    own = facts.of_names(before, [name for name in broken.machines if name not in shared])
    return {key: value for key, value in own.items() if not key.endswith(_FROM_AFAR)}


def _await_same(lab: Lab, topology: Topology, records: Records, broken: Broken) -> int:
    """Wait until the expected facts hold; return how many they are."""
    names = [machine.name for machine in topology.machines]
    wanted = expected(records, broken)
    different: list[str] = []

    def same() -> bool:
        wanted.clear()
        wanted.update(facts.of_standing(expected(records, broken), names))
        concerned = [name for name in names if facts.of_names(wanted, [name])]
        seen = facts.of_machines(lab, concerned)
        seen |= facts.cluster(lab, topology) if "api" in wanted else {}
        new = facts.of_names({k: v for k, v in seen.items() if k not in wanted}, concerned)
        here = {key: value for key, value in seen.items() if key in wanted}
        here |= {key: value for key, value in new.items() if not key.endswith(_FROM_AFAR)}
        here = facts.of_standing(here, facts.machines(records.sound() or {}))
        wanted.update(facts.started(wanted, here))
        different[:] = facts.differences(wanted, here)
        return not different

    try:
        until(
            same,
            within_seconds=_BOOT_SECONDS if broken.powerless else _SAME_SECONDS,
            what="everything as before",
            poll_seconds=0.3,
        )
    except HarnessError as error:
        raise HarnessError(f"not as before: {'; '.join(different)}") from error
    return len(wanted)


def _healed(lab: Lab, entry: MachineEntry) -> bool:
    known = agents.ask(lab.rack, entry.machine, "list")
    if entry.id not in {one["id"] for one in known if one["state"] != "healed"}:
        return True  # It was never armed, or its time is over.
    answer = agents.ask(lab.rack, entry.machine, "heal", id=entry.id)
    return not answer["problems"]
