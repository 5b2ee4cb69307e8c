"""What happened round by round where every fault was fired more than once: does anything grow?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hotfire.outcome import Outcome
from hotfire.rundir import Result
from reports._words import figure

COLUMNS = (
    "Round", "Fault", "Verdict", "Engines' memory, MB", "Engines' restarts", "TTFT after to before",
    "TPOT after to before", "Longest stall", "Undo entries left",
)  # fmt: skip
_FIGURES = (
    "engines_memory_bytes",
    "engines_restarts",
    "ttft_after_to_before_ratio",
    "tpot_after_to_before_ratio",
    "longest_stall_seconds",
    "undo_entries_left",
)
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One fault in one round."""

    number: int
    case: Result

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in its columns."""
        told = (figure(name, _shown(name, self.case)) for name in _FIGURES)
        return (str(self.number), self.case.id, str(self.case.verdict), *told)


def rounds(found: Iterable[Outcome]) -> list[Round]:
    """Return every fault of every round, round by round; none where there was only one."""
    return sorted(_each(found), key=lambda one: one.number)


def _each(found: Iterable[Outcome]) -> Iterator[Round]:
    for outcome in found:
        cases = [case for case in outcome.cases if not case.skipped_by_operator]
        if outcome.first.kind == "fault" and len(cases) > 1:
            for number, case in enumerate(cases, start=1):
                yield Round(number=number, case=case)


def _shown(name: str, case: Result) -> object:
    value = case.figures.get(name)
    if name.endswith("_bytes") and isinstance(value, int | float):
        return round(value / _MEGABYTE, 1)
    return value
