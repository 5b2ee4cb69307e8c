"""How ``hotfire load`` looks: once a second while it runs, and a table at its end."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hotfire.cli.verdicts import STYLES
from hotfire.measure.budgets import BudgetResult
from hotfire.measure.crosscheck import CrossCheck
from hotfire.measure.latency import Latency
from hotfire.measure.percentiles import SAMPLE_FLOORS
from hotfire.measure.slo import Summary
from hotfire.traffic.record.calibration import Calibration
from hotfire.traffic.record.files import Files
from hotfire.traffic.record.gates import GateResult
from hotfire.traffic.record.live import Glimpse, Tail, newest
from hotfire.verdict import Verdict

_LOG_WIDTH: Final = 120
_LOOK_SECONDS: Final = 1.0
_DEFINITIONS: Final = {
    "ttft": ("TTFT", "scheduled arrival to first token"),
    "service_ttft": ("service TTFT", "sending to first token"),
    "tpot": ("TPOT", "mean time per output token after the first"),
    "chunk_gap": ("chunk gap", "pause between output chunks, pooled"),
    "e2e": ("E2E", "scheduled arrival to last token"),
}
_WITH_FAILURES: Final = ("  with failures", "the same, failed requests never served")


class LiveView:
    """The running load on a terminal; a log gets a line at the start and nothing more."""

    def __init__(self, console: Console, tail: Tail) -> None:
        self._tail = tail
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._quiet = not console.is_terminal
        self._looked = 0.0

    def __enter__(self) -> "LiveView":
        if not self._quiet:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._quiet:
            self._live.stop()

    def look(self) -> None:
        """Show the present state, at most once a second."""
        if self._quiet or time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if glimpse := self._tail.look():
            self._live.update(table_of(glimpse), refresh=True)


class RunningLoads:
    """The load that runs now among those of a run, on one line, once a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tail: Tail | None = None
        self._history: Path | None = None
        self._looked = 0.0

    def look(self) -> str:
        """Return how it goes; empty if none runs or a second has not passed."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return ""
        self._looked = time.monotonic()
        history = newest(self._folder)
        if history is None or Files(history).ended.exists():
            return ""
        if history != self._history:
            self._history, self._tail = history, Tail(Files(history))
        glimpse = self._tail.look() if self._tail else None
        return one_line(glimpse) if glimpse else ""


def table_of(glimpse: Glimpse) -> Table:
    """Return the last ten seconds of a load."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in told(glimpse):
        table.add_row(Text(name, style="dim"), value)
    return table


def told(glimpse: Glimpse) -> Iterator[tuple[str, Text]]:
    """Yield each line of the live view."""
    errors = ", ".join(f"{name} {count}" for name, count in glimpse.errors.items())
    trouble = unfit(glimpse)
    ttft = f"p50 {seconds(glimpse.ttft_p50_seconds)}  p95 {seconds(glimpse.ttft_p95_seconds)}"
    yield "elapsed", Text(f"{glimpse.elapsed_seconds:.0f} s, {glimpse.ended} requests ended")
    yield "rate", Text(f"{glimpse.ended_per_second:.1f}/s, {glimpse.in_flight} in flight")
    yield "TTFT", Text(ttft)
    yield "TPOT", Text(f"p50 {seconds(glimpse.tpot_p50_seconds)}")
    yield "errors", Text(errors or "none", style="red" if errors else "")
    yield "gates", Text(trouble or "fit", style="yellow" if trouble else "")


def one_line(glimpse: Glimpse) -> str:
    """Return the same on one line."""
    errors = ", ".join(f"{name} {count}" for name, count in glimpse.errors.items())
    return (
        f"{glimpse.ended_per_second:.1f}/s, TTFT {seconds(glimpse.ttft_p50_seconds)} /"
        f" {seconds(glimpse.ttft_p95_seconds)}, TPOT {seconds(glimpse.tpot_p50_seconds)},"
        f" {glimpse.in_flight} in flight, errors: {errors or 'none'},"
        f" gates: {unfit(glimpse) or 'fit'}"
    )


def unfit(glimpse: Glimpse) -> str:
    """Return which gates would trip now, as far as that is known."""
    if not glimpse.gates:
        return "not known: the load process is silent"
    return ", ".join(gate.reason for gate in glimpse.gates if not gate.holds)


def print_summary(console: Console, summary: Summary, examples: Mapping[str, str]) -> None:
    """Print what users experienced, each figure with its definition and sample floor.

    ``examples`` tells what the first failure of each class looked like.
    """
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    table = Table(box=None, pad_edge=False)
    for name in ("", "p50", "p95", "p99"):
        table.add_column(name, no_wrap=True, justify="right" if name else "left")
    table.add_column("")
    for name, latency in summary.latencies():
        word, meaning = _DEFINITIONS.get(name, _WITH_FAILURES)
        table.add_row(word, *_percentiles(latency), Text(meaning, style="dim"))
    console.print(table)
    for line in _counts(summary, examples):
        console.print(Text(line), soft_wrap=True)


def _percentiles(latency: Latency) -> Iterator[str]:
    for q, value in latency.percentiles().items():
        yield f"needs >= {SAMPLE_FLOORS[q]}" if value is None else seconds(value)


def _counts(summary: Summary, examples: Mapping[str, str]) -> Iterator[str]:
    yield (
        f"{summary.scheduled} requests in {summary.span_seconds:.1f} s: {summary.complete}"
        f" complete, {summary.failed} failed, {summary.censored} cut off by the end,"
        f" {summary.not_sent} not sent"
    )
    for name, count in sorted(summary.failures.items()):
        yield f"  {name} {count}, the first: {examples.get(name) or 'no details'}"
    yield f"streamed: {summary.streamed_told}"
    for name, count in sorted(summary.deviations.items()):
        yield f"deviation {name} {count}, the first: {examples.get(name)}"
    yield (
        f"goodput {_goodput(summary)}; {summary.output_tokens} output tokens;"
        f" longest stall {seconds(summary.longest_stall_seconds)}"
    )


def _goodput(summary: Summary) -> str:
    if summary.unjudged:
        return f"unknown: a latency that has a budget is unknown of {summary.unjudged} requests"
    if math.isnan(summary.goodput_per_second):
        return "unknown: a rate takes two requests"
    return f"{summary.goodput_per_second:.2f}/s, {summary.goodput_ratio:.2%} of all scheduled"


def print_budgets(console: Console, budgets: Iterable[BudgetResult]) -> None:
    """Print each budget with its verdict."""
    for one in budgets:
        verdict = Text(f"{one.verdict:<14}", style=STYLES[one.verdict])
        console.print(verdict + Text(one.reason), soft_wrap=True)


def print_instrument(
    console: Console, gates: Iterable[GateResult], calibration: Calibration | None
) -> None:
    """Print whether the instrument was fit, and how exact it is."""
    tripped = [gate.reason for gate in gates if not gate.holds]
    style = STYLES[Verdict.INCONCLUSIVE] if tripped else ""
    fitness = f"not fit to measure: {'; '.join(tripped)}" if tripped else "fit: every gate holds"
    console.print(Text("instrument ") + Text(fitness, style=style), soft_wrap=True)
    known = calibration.told() if calibration else "not calibrated: run hotfire load --calibrate"
    console.print(Text(f"its error  {known}"), soft_wrap=True)


def print_cross_check(console: Console, found: CrossCheck | None) -> None:
    """Print what the engines say."""
    said = f"{found.agreement}: {found.reason}" if found else "not asked: --metrics URL"
    console.print(Text(f"engines    {said}"), soft_wrap=True)


def seconds(value: float) -> str:
    """Return a time with its unit, three digits."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "never"
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.3g} ms" if value < 0.9995 else f"{value:.3g} s"
