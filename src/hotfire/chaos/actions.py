"""What every experiment file names to break something, and to end it; each needs an armed plan.

The file says in words what that is; these carry it out.
"""

from hotfire.chaos import before, heal, janitor
from hotfire.chaos.armed import Shot
from hotfire.chaos.plan import names
from hotfire.chaos.step import step_of
from hotfire.errors import RollbackFailed
from hotfire.waiting import pause


def inject() -> str:
    """Do each step to each target, after a last look whether all is as it was planned."""
    shot = Shot.from_environment()
    shot.require_open()
    shot.require_held()
    if shot.fault.needs_janitor:
        janitor.require_live(shot.world)
    shot.fault.targets.look_again(shot.world, shot.plan)
    for step, target in shot.fault.shots(shot.plan.targets):
        step.require_whole(shot.world, target)
    seen, gone = shot.fault.seen, shot.fault.gone
    noted = {**gone.note(shot.world, shot.plan), **seen.note(shot.world, shot.plan)}
    there = before.observed(shot.world, shot.plan, logged=seen.logged(shot.plan), noted=noted)
    first = last = None
    for entry in shot.entries:
        step = step_of(entry)
        if step != last and step.after_seconds:
            pause(step.after_seconds, why="the next step comes this much later, by its definition")
        last = step
        fired = step.fire(shot.world, entry)
        if first is None:
            # The window opens when the first order was given.
            first = fired
            told = {
                "target": names(shot.plan.targets),
                before.KEY: there.model_dump(),
            }
            shot.tell("injected", source=fired.source, at_ns=fired.at_ns, **told, **fired.data)
        shot.fired(entry)
    if shot.fault.needs_janitor:
        # Whoever healed at this very moment may have found nothing to undo yet; nodes refuse an
        # order that comes too late by themselves. A rollback undoes it.
        shot.require_open()
        shot.require_held()
    return f"fired at {names(shot.plan.targets)}"


def hold() -> str:
    """Let a lasting fault last, renewing each node's lease at a third of it."""
    shot = Shot.from_environment()
    left, renewal = shot.fault.hold_seconds, shot.profile.agent.lease_seconds / 3
    while left > 0:
        length = min(left, renewal)
        pause(length, why="the fault lasts this long by its definition")
        left -= length
        shot.require_open()
        if left > 0:
            for entry in shot.entries:
                step_of(entry).renew(shot.world, entry)
    return f"held for {shot.fault.hold_seconds:g} s"


def undo() -> str:
    """End the fault now, as a part of the method, and write when; its end is probed afterwards."""
    shot = Shot.from_environment()
    try:
        if any(step.lives_on != "nowhere" for step in shot.fault.steps):
            shot.tell("healed", source="the undo was asked for")
    finally:
        # Also where the disk takes no line.
        done = heal.end_all(shot.world, shot.entries)
    if problems := [one.detail for one in done if not one.verified]:
        raise RollbackFailed("; ".join(problems))
    return "; ".join(one.detail for one in done)


def heal_fault() -> str:
    """Undo the fault if anything of it is left; the rollback of every experiment."""
    shot = Shot.from_environment()
    limit = shot.profile.waits.healing_seconds
    done = heal.heal_entries(shot.world, shot.entries, within_seconds=limit)
    if not done.verified:
        raise RollbackFailed(f"{done.entry_id}: {done.detail}")
    return done.detail
