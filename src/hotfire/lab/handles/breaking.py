"""Breaking one handle: undo first on disk, then the deed, then the proof that it took effect."""

import datetime
import secrets
from dataclasses import dataclass, replace

from hotfire.agent.entries import boot_seconds
from hotfire.errors import FaultNotInjected, HotfireError, ProfileError
from hotfire.lab.handles import agents, facts, mending, plan, power, proofs, warden
from hotfire.lab.handles.case import Case
from hotfire.lab.handles.names import Handle, Kind
from hotfire.lab.handles.plan import BreakOptions
from hotfire.lab.handles.records import ALL, Broken, MachineEntry, Records, slug
from hotfire.lab.lab import Lab
from hotfire.lab.shape.topology import Topology

# The agents' own clocks are the second line: the warden mends at the time that was asked for.
_SLACK_SECONDS = 5.0
# A machine is on and its sessions stand this long after its power is back.
_BOOT_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was broken and how we know."""

    broken: Broken
    proof: list[str]


def break_(lab: Lab, handle: Handle, order: BreakOptions) -> Done:
    """Break a handle and prove it; it mends itself in time, whatever happens to this process.

    Raises:
        ProfileError: it is broken already.
        FaultNotInjected: it had no effect; what was done of it is undone.
    """
    topology, records = lab.topology(), of_lab(lab)
    with records.alone(handle.name):
        if records.get(handle.name):
            raise ProfileError(f"{handle.name} is broken already; `hotfire lab mend` puts it back")
        case = _written(lab, topology, handle, order)
        failure = _do(case)
        if failure is None:
            try:
                broken = lasting(records, case.broken, order.for_seconds)
                records.log(handle=handle.name, event="broken", how=broken.how)
                return Done(broken=broken, proof=proofs.prove(case))
            except HotfireError as error:
                failure = error
    mending.mend(lab, records, handle.name, because="it had no effect")
    raise FaultNotInjected(f"{handle.name}: {failure}; it is mended") from failure


def of_lab(lab: Lab) -> Records:
    """Return the records of a lab."""
    return Records(lab.state.handles)


def in_words(lab: Lab) -> list[str]:
    """Return one line for each broken handle, and one about the warden of what it will mend."""
    records = of_lab(lab)
    lines = [_line(each) for each in records.all()]
    lines += records.unreadable().values()
    if records.mendable():
        lives = warden.lives(lab.state.home)
        lines.append(
            "the warden lives: it mends when the time is over"
            if lives
            else "no warden lives: only the agents will mend; `hotfire lab mend` mends all"
        )
    return lines


def _line(broken: Broken) -> str:
    if broken.problem:
        return f"{broken.name}: {broken.problem} (`hotfire lab mend {broken.name}` tries again)"
    if broken.left_seconds <= 0:
        return f"{broken.name} is being mended ({broken.how})"
    return f"{broken.name} is broken ({broken.how}), {broken.left_seconds:.0f} s left"


def lasting(records: Records, broken: Broken, for_seconds: float) -> Broken:
    """Let the time that was asked for begin now; return the record as it is then."""
    lasts = replace(broken, expires_at=boot_seconds() + for_seconds)
    records.write(lasts)
    return lasts


def _written(lab: Lab, topology: Topology, handle: Handle, order: BreakOptions) -> Case:
    """Put the record on disk, the first one with how everything is before; a warden lives then."""
    records, entries = of_lab(lab), _entries(topology, handle, order)
    _require_power(lab, handle, entries)
    with records.alone(ALL):
        if unread := [*records.unreadable().values()]:
            raise ProfileError(f"{handle.name} is not broken: {unread[0]}")
        # Whatever becomes of this process, the warden waits for the record, or for its end.
        warden.ensure(lab.state.home)
        is_first, machines = not records.all(), plan.machines(topology, handle)
        names = [one.name for one in topology.machines] if is_first else machines
        before = facts.of_machines(lab, names) | facts.cluster(lab, topology)
        if is_first:
            records.keep_sound(before)
        broken = Broken(
            name=handle.name,
            how=plan.words(order),
            began_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            expires_at=boot_seconds() + order.for_seconds,
            machines=machines,
            entries=entries,
            powerless=handle.machine if handle.kind is Kind.POWER else "",
        )
        records.write(broken)
    return Case(
        lab=lab, topology=topology, handle=handle, order=order, broken=broken, before=before
    )


def _entries(topology: Topology, handle: Handle, order: BreakOptions) -> list[MachineEntry]:
    token = secrets.token_hex(2)
    return [
        MachineEntry(
            machine=action.machine,
            id=f"{slug(handle.name)[:30]}-{token}-{number}",
            op=action.op,
            args=action.args,
        )
        for number, action in enumerate(plan.actions(topology, handle, order))
    ]


def _require_power(lab: Lab, handle: Handle, entries: list[MachineEntry]) -> None:
    needed = {entry.machine for entry in entries} | ({handle.machine} - {""})
    if off := [name for name in sorted(needed) if lab.rack.pid(name) is None]:
        raise ProfileError(f"{handle.name} cannot be broken: {', '.join(off)} is off")


def _do(case: Case) -> HotfireError | None:
    """Carry it out; return what went wrong."""
    rack, broken = case.lab.rack, case.broken
    spare_seconds = _BOOT_SECONDS if broken.powerless else _SLACK_SECONDS
    ttl_seconds = case.order.for_seconds + spare_seconds
    try:
        for entry in broken.entries:
            words = {"id": entry.id, "ttl_seconds": ttl_seconds, **entry.args}
            agents.ask(rack, entry.machine, entry.op, **words)
        if broken.powerless:
            power.off(case.lab, broken.powerless)
    except HotfireError as error:
        return error
    return None
