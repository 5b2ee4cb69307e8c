"""Making a schedule that fails as small as it can be: fewer faults, no pauses, a short hold. Pure.

It is delta debugging (Zeller, Hildebrandt 2002): a smaller schedule that fails takes the place of
the one before, until none of those that are a step smaller does.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations

from hotfire.experiment.exploring.schedule import Hold, Part, Schedule


def shrink(
    failing: Schedule, holds: Mapping[str, Hold], fails: Callable[[Schedule], bool]
) -> Schedule:
    """Return the smallest schedule found that still fails.

    Args:
        failing: A schedule that fails.
        holds: For how long each fault may be held.
        fails: Fires a schedule; never asked twice about the same one.
    """
    smallest, known = failing, {failing}

    def is_new_and_fails(one: Schedule) -> bool:
        new = one not in known
        known.add(one)
        return new and fails(one)

    while found := next(filter(is_new_and_fails, smaller(smallest, holds)), None):
        smallest = found
    return smallest


def smaller(schedule: Schedule, holds: Mapping[str, Hold]) -> Iterator[Schedule]:
    """Yield what is a step smaller, what saves most first."""
    for count in range(1, len(schedule.parts)):
        for parts in combinations(schedule.parts, count):
            yield _of(parts, schedule.hold_seconds, holds)
    if any(part.after_seconds for part in schedule.parts):
        yield replace(schedule, parts=tuple(Part(fault=part.fault) for part in schedule.parts))
    least = _hold(schedule.parts, holds).least
    if schedule.hold_seconds > least:
        yield replace(schedule, hold_seconds=least)


def _of(parts: tuple[Part, ...], hold_seconds: float, holds: Mapping[str, Hold]) -> Schedule:
    """Return a schedule of fewer faults, none held for longer or shorter than it may be."""
    first, *others = parts
    hold = _hold(parts, holds)
    return Schedule(
        parts=(replace(first, after_seconds=0.0), *others),
        hold_seconds=min(max(hold_seconds, hold.least), hold.most),
    )


def _hold(parts: tuple[Part, ...], holds: Mapping[str, Hold]) -> Hold:
    return Hold.together([holds[part.fault] for part in parts])
