"""Breaking one handle: undo first on disk, then the deed, then the proof that it took effect."""

import datetime
import secrets
from dataclasses import dataclass, replace
from typing import Any

from hotfire.errors import FaultNotInjected, HotfireError, ProfileError
from hotfire.lab.handles import agents, facts, mending, plan, power, proofs, warden
from hotfire.lab.handles.case import Case
from hotfire.lab.handles.names import Handle, Kind
from hotfire.lab.handles.plan import Order
from hotfire.lab.handles.records import LAST, Broken, Entry, Records, boot_seconds, slug
from hotfire.lab.lab import Lab
from hotfire.lab.topology import Topology

# The agents' own clocks are the second line: the warden mends at the time that was asked for.
_SLACK_SECONDS = 5.0
# A machine is on and its sessions stand this long after its power is back.
_BOOT_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was broken and how we know."""

    broken: Broken
    proof: list[str]


def break_(lab: Lab, handle: Handle, order: Order) -> Done:
    """Break a handle and prove it; it mends itself in time, whatever happens to this process.

    Raises:
        ProfileError: it is broken already.
        FaultNotInjected: it had no effect; what was done of it is undone.
    """
    topology, records = lab.topology(), of_lab(lab)
    with records.alone(handle.name):
        if records.get(handle.name):
            raise ProfileError(f"{handle.name} is broken already; `hotfire lab mend` puts it back")
        broken = _record(topology, handle, order)
        _require_power(lab, broken)
        with records.alone(LAST):
            if not records.all():
                records.keep_sound(facts.everything(lab, topology))
            before = facts.of_machines(lab, broken.machines) | facts.cluster(lab)
            warden.ensure(lab.state.home)
            # The time counts from here: looking around took some of it.
            broken = replace(broken, **_times(order))
            records.write(broken)
        warden.ensure(lab.state.home)  # The one that lived may just have ended.
        failure = _do(lab, broken, order.for_seconds)
        if failure is None:
            records.log(handle=handle.name, event="broken", how=broken.how)
            try:
                proof = proofs.prove(
                    Case(
                        lab=lab,
                        topology=topology,
                        handle=handle,
                        order=order,
                        broken=broken,
                        before=before,
                    )
                )
                return Done(broken=broken, proof=proof)
            except HotfireError as error:
                failure = error
    mending.mend(lab, records, handle.name, because="it had no effect")
    raise FaultNotInjected(f"{handle.name}: {failure}; it is mended") from failure


def of_lab(lab: Lab) -> Records:
    """Return the records of a lab."""
    return Records(lab.state.handles)


def in_words(lab: Lab) -> list[str]:
    """Return one line for each broken handle, and one about the warden."""
    broken = of_lab(lab).all()
    lines = [_line(each) for each in broken]
    if broken:
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


def _require_power(lab: Lab, broken: Broken) -> None:
    needed = {entry.machine for entry in broken.entries} | {broken.powerless} - {""}
    if off := [name for name in sorted(needed) if lab.rack.pid(name) is None]:
        raise ProfileError(f"{broken.name} cannot be broken: {', '.join(off)} is off")


def _record(topology: Topology, handle: Handle, order: Order) -> Broken:
    token = secrets.token_hex(2)
    entries = [
        Entry(
            machine=action.machine,
            id=f"{slug(handle.name)[:30]}-{token}-{number}",
            op=action.op,
            args=action.args,
        )
        for number, action in enumerate(plan.actions(topology, handle, order))
    ]
    return Broken(
        name=handle.name,
        how=plan.words(order),
        **_times(order),
        machines=plan.machines(topology, handle),
        entries=entries,
        powerless=handle.machine if handle.kind is Kind.POWER else "",
    )


def _times(order: Order) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return {"began_at": now, "expires_at": boot_seconds() + order.for_seconds}


def _do(lab: Lab, broken: Broken, for_seconds: float) -> HotfireError | None:
    """Carry it out; return what went wrong."""
    ttl_seconds = for_seconds + (_BOOT_SECONDS if broken.powerless else _SLACK_SECONDS)
    try:
        for entry in broken.entries:
            agents.ask(
                lab.rack,
                entry.machine,
                entry.op,
                id=entry.id,
                ttl_seconds=ttl_seconds,
                **entry.args,
            )
        if broken.powerless:
            power.off(lab, broken.powerless)
    except HotfireError as error:
        return error
    return None
