"""The live view reads a growing history once, shows what happened, and costs next to nothing."""

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hotfire.cli.load_view import LiveView, RunningLoads, one_line
from hotfire.measure.history import FailureClass, Request
from hotfire.traffic.record.files import ClockAnchor, Files, Measured, Present, Started, line
from hotfire.traffic.record.live import Glimpse, Tail, newest
from hotfire.traffic.workload.limits import GateLimits
from hotfire.traffic.workload.plan import LoadPlan

S = 10**9


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return the files of a constant load of 10/s that began five seconds ago."""
    found = Files(tmp_path / "load.jsonl")
    plan = LoadPlan(url="http://h", model="m", process="constant", rate_per_second=10)
    found.plan.write_text(plan.model_dump_json())
    t0_ns = time.time_ns() - 5 * S
    anchor = ClockAnchor(epoch_ns=t0_ns, monotonic_ns=0)
    Started(t0_ns=t0_ns, pid=2**22 + 1, address=("h", 80), anchor=anchor).write(found.started)
    return found


def add(files: Files, *rows: Request) -> None:
    with files.history.open("ab") as file:
        file.writelines(map(line, rows))


def served(seq: int, *, ttft: float = 0.1, gaps: int = 15) -> Request:
    first = T0 + round(ttft * S)
    last = first + gaps * S // 50
    return Request(
        seq=seq, sched_ns=T0, send_ns=T0, first_ns=first, last_ns=last, end_ns=last,
        n_out=gaps + 1, gaps_us=(20_000,) * gaps,
    )  # fmt: skip


T0 = 10**18


def seen(tail: Tail) -> Glimpse:
    found = tail.look()
    assert found is not None
    return found


def test_a_load_that_has_not_begun_shows_nothing(tmp_path: Path) -> None:
    assert Tail(Files(tmp_path / "load.jsonl")).look() is None


def test_what_ended_what_failed_and_what_is_under_way(files: Files) -> None:
    tail = Tail(files)
    add(files, *(served(i) for i in range(30)))
    add(files, Request(seq=30, sched_ns=T0, end_ns=T0, error_class=FailureClass.HTTP_503))

    due_before = due(files)
    found = seen(tail)

    assert found.ended == 31
    assert found.errors == {"http_503": 1}
    assert found.ttft_p50_seconds == pytest.approx(0.1)
    assert found.tpot_p50_seconds == pytest.approx(0.02)
    assert due_before - 31 - 1 <= found.in_flight <= due(files) - 31 + 1


def due(files: Files) -> float:
    """Return how many requests are due by now: ten a second since five seconds and a moment."""
    began_ns = Started.model_validate_json(files.started.read_bytes()).t0_ns
    return 10 * (time.time_ns() - began_ns) / S


def test_each_row_is_counted_once_and_half_a_line_not_at_all(files: Files) -> None:
    tail = Tail(files)
    add(files, served(0), served(1))
    assert seen(tail).ended == 2
    whole = line(served(2))

    with files.history.open("ab") as file:
        file.write(whole[:40])
    assert seen(tail).ended == 2
    with files.history.open("ab") as file:
        file.write(whole[40:])

    assert seen(tail).ended == 3


def test_a_second_of_heavy_load_costs_less_than_a_fiftieth_of_a_core(files: Files) -> None:
    tail = Tail(files)
    tail.look()
    # 15,000 tokens in the second, what one load process carries.
    add(files, *(served(i, gaps=63) for i in range(234)))
    began = time.process_time()

    found = seen(tail)

    assert time.process_time() - began < 0.02
    assert found.ended == 234


def test_the_error_counts_are_whole_however_fast_rows_come(files: Files) -> None:
    tail = Tail(files)
    failing = Request(seq=0, sched_ns=T0, end_ns=T0, error_class=FailureClass.CONNECT)
    add(files, *[failing] * 5000)

    assert seen(tail).errors == {"connect": 5000}


def tell(files: Files, *, not_sent: int = 0, lost: tuple[str, ...] = (), **changed: float) -> None:
    """Let the load process say how fit it is."""
    names = ("lag_p50", "lag_p99", "lag_max", "lateness_p50", "lateness_p99", "lateness_max")
    fit = {f"{name}_seconds": 0.001 for name in names} | {"gc_pause_max_seconds": 0.0}
    measured = Measured.model_validate(
        {"dispatched": 9, "cpu_ratio": 0.1, "nice": 0, "throttled_seconds": 0.0} | fit | changed
    )
    Present(measured=measured, not_sent=not_sent, lost_workers=lost).write(files.present)


@pytest.mark.parametrize(
    ("trouble", "shown"),
    [
        ({"lag_p99_seconds": 0.007}, "lag_p99_seconds 0.007 of 0.005"),
        ({"lateness_p99_seconds": 0.1}, "lateness_p99_seconds 0.1 of 0.01"),
        ({"cpu_ratio": 0.7}, "cpu_ratio 0.7 of 0.6"),
        ({"gc_pause_max_seconds": 0.2}, "gc_pause_max_seconds 0.2 of 0.05"),
        ({"throttled_seconds": 1.5}, "throttled_seconds 1.5 of 0"),
        ({"not_sent": 3}, "held_back_by_client_cap 3 of 0"),
        ({"lost": ("worker 1 (vm:7)",)}, "workers lost: worker 1 (vm:7)"),
        ({}, "fit"),
    ],
)
def test_one_line_says_what_is_wrong_with_the_instrument(
    files: Files, trouble: dict[str, Any], shown: str
) -> None:
    tell(files, **trouble)

    assert one_line(seen(Tail(files))).endswith(f"gates: {shown}")


def test_the_plans_own_limits_count(files: Files) -> None:
    plan = LoadPlan.read(files.plan)
    wide = plan.model_copy(update={"gates": GateLimits(cpu_ratio=0.9)})
    files.write_plan(wide.model_dump_json())
    tell(files, cpu_ratio=0.7)

    assert one_line(seen(Tail(files))).endswith("gates: fit")


def test_a_load_process_that_is_silent_is_not_called_fit(files: Files) -> None:
    assert "gates: not known" in one_line(seen(Tail(files)))

    tell(files)
    os.utime(files.present, (0, 0))

    assert "gates: not known" in one_line(seen(Tail(files)))


def test_only_the_load_that_runs_is_shown(files: Files) -> None:
    add(files, served(0))
    assert newest(files.history.parent) == files.history
    assert "/s, TTFT 100 ms" in RunningLoads(files.history.parent).look()

    files.ended.write_text(json.dumps({}))

    assert RunningLoads(files.history.parent).look() == ""


def test_a_log_gets_no_live_view(files: Files) -> None:
    add(files, served(0))
    log = io.StringIO()

    with LiveView(Console(file=log), Tail(files)) as view:
        view.look()

    assert log.getvalue() == ""


def test_a_terminal_sees_rate_latency_errors_and_gates(files: Files) -> None:
    add(files, served(0))
    screen = io.StringIO()

    with LiveView(Console(file=screen, force_terminal=True), Tail(files)) as view:
        view.look()

    for word in ("rate", "TTFT", "TPOT", "errors", "gates", "in flight"):
        assert word in screen.getvalue()
