"""The verdict table at the end of a run."""

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from hotfire.outcome import Outcome, headline, outcomes
from hotfire.rundir import Result, RunInfo
from hotfire.terminal import Terminal
from hotfire.verdict import Conformance, Verdict

_LOG_WIDTH = 120
_SPREAD = {
    "recovered_from_clearing_seconds": "recovered after s",
    "error_ratio": "error ratio",
    "longest_stall_seconds": "longest stall s",
}
STYLES = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}
_STATED = {
    Conformance.CONFORMANT: "bold green",
    Conformance.NONCONFORMANT: "bold red",
    Conformance.INCONCLUSIVE: "bold yellow",
}


def print_verdicts(info: RunInfo, results: Iterable[Result]) -> None:
    """Print what somebody must look at, a line for each area, and what all of it adds up to."""
    found = outcomes(results)
    console = Terminal(highlight=False)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    open_ones = [outcome for outcome in found if not outcome.settled]
    if open_ones:
        table = Table(box=None, pad_edge=False)
        for name in ("verdict", "level", "id"):
            table.add_column(name, no_wrap=True)
        for name in ("statement", "because"):
            table.add_column(name)
        for outcome in open_ones:
            table.add_row(*_row(outcome))
        console.print(table)
    console.print(_areas(found))
    for line in rounds(found):
        console.print(Text(line), soft_wrap=True)
    style = _STATED[info.conformance] if info.conformance else ""
    console.print(Text(f"\n{headline(info, found)}", style=style))
    for note in info.notes:
        console.print(Text(f"  {note}"))


def _areas(found: Iterable[Outcome]) -> Table:
    """Return a line for each area of which something was asked: how many came to what."""
    table = Table(box=None, pad_edge=False, show_header=False)
    asked = [outcome for outcome in found if not (outcome.skipped or outcome.is_run)]
    for area in sorted({outcome.first.area for outcome in asked}):
        mine = [outcome for outcome in asked if outcome.first.area == area]
        counts = Counter(outcome.verdict for outcome in mine)
        told = [
            Text(f"{counts[verdict]} {verdict}", STYLES[verdict])
            for verdict in STYLES
            if counts[verdict]
        ]
        passed = [o.first.id for o in mine if o.verdict is Verdict.PASSED]
        table.add_row(Text(area), Text(", ").join(told), Text(" ".join(passed), style="dim"))
    return table


def rounds(found: Iterable[Outcome]) -> Iterator[str]:
    """Yield how the rounds of each fault came out, with the spread of what users felt."""
    for outcome in found:
        cases = [case for case in outcome.cases if not case.skipped_by_operator]
        if outcome.first.kind != "fault" or len(cases) < 2:
            continue
        verdicts = Counter(case.verdict for case in cases)
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        spreads = [
            f"{label} {least:.4g} to {most:.4g}"
            for name, label in _SPREAD.items()
            if (values := _figures(cases, name))
            for least, most in [(min(values), max(values))]
        ]
        yield "; ".join([f"{outcome.first.id} in {len(cases)} rounds: {told}", *spreads])


def _figures(cases: Iterable[Result], name: str) -> list[float]:
    values = [case.figures.get(name) for case in cases]
    return [value for value in values if isinstance(value, int | float)]


def _row(outcome: Outcome) -> list[Text]:
    first = outcome.first
    cells = [
        Text(cell) for cell in (first.level, first.id, first.statement, outcome.decisive.reason)
    ]
    return [Text(outcome.word, style=STYLES[outcome.verdict]), *cells]
