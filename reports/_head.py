"""What stands at the head of a page: the conformance of a run, or the verdict of a load."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from hotfire.outcome import Outcome, extent, headline, judged
from hotfire.rundir import BudgetRow, RunDirectory, RunInfo
from hotfire.verdict import Verdict
from reports._words import counted, label, lead, plain, tally, title

_WORST_FIRST = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED)
_TITLES = {
    Verdict.PASSED: "kept its budgets: passed",
    Verdict.FAILED: "broke its budgets: failed",
    Verdict.INCONCLUSIVE: "is not proven to keep its budgets: inconclusive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a page."""

    title: str
    """What the run amounts to, for somebody who reads one line."""
    lead: str
    """What that means."""
    headline: str
    """The same in one sentence, with the counts and names behind it."""
    mark: str
    """What its colour stands for: a conformance or a verdict; empty: nothing was judged."""
    tally: list[tuple[int, str, str]]
    """Count, word and verdict of each group of what was judged, worst first."""
    scope: str = ""
    """Which scope was judged, and how much of everything that is; empty: no requirement was."""
    load: "LoadVerdict | None" = None
    """None: requirements were judged, or nothing was."""


class LoadVerdict(BaseModel):
    """What ``hotfire load`` concluded, as it left it in load.json."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    verdict: Verdict
    doubts: tuple[str, ...] = ()
    budgets: tuple[BudgetRow, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there is more to say than figures."""
        return bool(self.budgets or self.doubts)

    def of(self, verdict: Verdict) -> list[BudgetRow]:
        """Return the budgets with this verdict."""
        return [row for row in self.budgets if row.verdict is verdict]


def head(run: RunDirectory, found: Sequence[Outcome]) -> Head:
    """Return the head of a run's page; requirements go before a load."""
    info, load = judged(run, found), None if found else load_verdict(run)
    if load is None:
        return Head(
            title=title(info, found),
            lead=lead(info, found),
            headline=headline(info, found),
            mark=str(info.conformance or ""),
            tally=tally(found),
            scope=extent(info, found) if found else "",
        )
    return Head(
        title=f"{info.target_name} {_ending(load)}",
        lead=" ".join(_sentences(load)),
        headline=_headline(info, load),
        mark=str(load.verdict) if load.judged else "",
        tally=[(len(load.of(verdict)), str(verdict), str(verdict)) for verdict in _WORST_FIRST],
        load=load,
    )


def load_verdict(run: RunDirectory) -> LoadVerdict | None:
    """Return what a load concluded; None where there was none, or it did not come to its end."""
    try:
        return LoadVerdict.model_validate_json(run.path("load.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _ending(load: LoadVerdict) -> str:
    if load.doubts:
        return "could not be judged: inconclusive"
    return _TITLES[load.verdict] if load.budgets else "was measured; no budget was given"


def _sentences(load: LoadVerdict) -> Iterable[str]:
    if load.doubts:
        yield f"Nothing may be concluded: {plain('; '.join(load.doubts))}."
        return
    if not load.budgets:
        yield "No budget was given."
    for verdict, word in ((Verdict.FAILED, "broken"), (Verdict.INCONCLUSIVE, "undecided")):
        if rows := load.of(verdict):
            reasons = plain("; ".join(row.reason for row in rows))
            yield f"{len(rows)} of {counted(len(load.budgets), 'budget')} {word}: {reasons}."
    if load.budgets and len(load.of(Verdict.PASSED)) == len(load.budgets):
        yield f"{counted(len(load.budgets), 'budget')} kept."


def _headline(info: RunInfo, load: LoadVerdict) -> str:
    if not load.judged:
        return f"{info.target_name} {_ending(load)}"
    groups = [
        f"{len(rows)} {verdict} ({', '.join(label(row.name) for row in rows)})"
        for verdict in _WORST_FIRST
        if (rows := load.of(verdict))
    ]
    return f"{info.target_name} {_ending(load)}: {', '.join(groups) or 'no budget was given'}"
