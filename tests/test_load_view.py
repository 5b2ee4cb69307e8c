"""What ``hotfire load`` prints at its end tells no percentile that is none."""

import io
import re
from dataclasses import replace

from rich.console import Console

from hotfire.cli.load_view import print_summary
from hotfire.measure.history import FailureClass, Request
from hotfire.measure.slo import summarise
from hotfire.profile import Budgets

T0 = 10**18
MS = 10**6
SERVED = Request(
    seq=0, sched_ns=T0, send_ns=T0, first_ns=T0 + 200 * MS, last_ns=T0 + 300 * MS,
    end_ns=T0 + 300 * MS, n_out=11,
)  # fmt: skip


def rows(served: int, failed: int = 0) -> list[Request]:
    ok = [replace(SERVED, seq=i) for i in range(served)]
    lost = Request(seq=0, sched_ns=T0 + 1000 * MS, error_class=FailureClass.CONNECT)
    return ok + [replace(lost, seq=served + i) for i in range(failed)]


def text(requests: list[Request], budgets: Budgets | None = None) -> str:
    console = Console(file=io.StringIO())
    print_summary(console, summarise(requests, budgets), {})
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_healthy_p95_never_stands_alone_beside_failures() -> None:
    told = text(rows(100, failed=100))

    table = [re.split(r"  +", line.strip()) for line in told.splitlines()]
    ttft = next(place for place, cells in enumerate(table) if cells[0] == "TTFT")
    assert table[ttft][1:4] == ["200 ms", "200 ms", "needs >= 1000"]
    assert table[ttft + 1][:4] == ["with failures", "200 ms", "never", "needs >= 1000"]


def test_without_failures_each_latency_is_told_once() -> None:
    assert "with failures" not in text(rows(100))


def test_a_pace_that_few_answers_told_has_no_p95() -> None:
    some = [replace(row, n_out=None if row.seq else 11) for row in rows(100)]

    pace = next(line for line in text(some).splitlines() if line.startswith("TPOT"))
    assert re.search("10 ms +needs >= 100 +needs >= 1000", pace)


def test_goodput_that_cannot_be_judged_is_unknown() -> None:
    silent = [replace(row, n_out=None) for row in rows(100, failed=1)]

    told = text(silent, Budgets(tpot_p95_seconds=1))

    assert "goodput unknown: a latency that has a budget is unknown of 100 requests" in told
