"""A fault as a sighting looks at it, without a run: planned, fired, and something noted."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from hotfire.chaos.before import Before, observed
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, SightingWord
from hotfire.chaos.undo import Undo, UndoEntry
from hotfire.chaos.written import Target


def scene(
    world: World,
    plan: Plan,
    word: SightingWord | None = None,
    noted: Mapping[str, JsonValue] | None = None,
) -> Scene:
    """Return the scene of a plan as it is now; ``word`` notes what it wants to remember."""
    told = word.note(world, plan) if word else noted or {}
    entries = tuple(entry(target) for target in plan.targets)
    return Scene(world=world, plan=plan, entries=entries, before=observed(world, plan, noted=told))


def entry(target: Target, step: Mapping[str, JsonValue] | None = None) -> UndoEntry:
    """Return the undo entry of a step on a target."""
    return UndoEntry(
        id="u-1",
        at=datetime.now(UTC),
        run_id="r",
        cluster_uid="c",
        fault="FLT-X-001",
        target=target,
        undo=Undo(step=dict(step or {"word": "nothing"})),
        expires_at=None,
    )


def unnoted(found: Scene) -> Scene:
    """Return the same scene where nobody noted anything."""
    return Scene(world=found.world, plan=found.plan, entries=found.entries, before=Before())
