"""The rows of a long load stay in its file: whoever judges them reads them one by one."""

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hotfire import metrics
from hotfire.cli.histories import pack_histories
from hotfire.errors import HistoryError
from hotfire.measure import history
from hotfire.measure.crosscheck import USUAL, Agreement
from hotfire.measure.history import FailureClass, Request
from hotfire.measure.slo import Account, summarise
from hotfire.profile import PRESETS
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.traffic.capacity.trial import judged
from hotfire.traffic.record.files import Files, line
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.witnesses.witness import compared
from hotfire.traffic.workload.plan import LoadPlan

TTFT = USUAL.ttft.name if USUAL.ttft else ""

REQUESTS, TOKENS = 1500, 100
S = 10**9


def row(seq: int, *, tokens: int = TOKENS) -> Request:
    at = 10**18 + seq * S // 100
    return Request(
        seq=seq, sched_ns=at, send_ns=at, headers_ns=at, first_ns=at + S // 5,
        last_ns=at + 2 * S, end_ns=at + 2 * S, n_out=tokens, status=200, served_by="vllm-0",
        gaps_us=tuple(20_000 + (seq + token) % 1000 for token in range(tokens - 1)),
    )  # fmt: skip


def ended(folder: Path, lines: bytes) -> RunningLoad:
    """Return a load whose process is gone and whose history holds these lines."""
    files = Files(folder / "history" / "load.jsonl")
    files.history.parent.mkdir()
    files.history.write_bytes(lines)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return RunningLoad(LoadPlan(url="http://h", model="m"), files, folder / "log", process)


@pytest.fixture(scope="module")
def long_load(tmp_path_factory: pytest.TempPathFactory) -> RunningLoad:
    lines = b"".join(line(row(seq)) for seq in range(REQUESTS))
    return ended(tmp_path_factory.mktemp("long"), lines)


def judge_as_a_load(load: RunningLoad) -> None:
    account = Account.of(load.stream(), PRESETS["lab"])
    assert account.summary().complete == REQUESTS


def judge_as_a_trial(load: RunningLoad) -> None:
    assert judged(100, load.stream(), PRESETS["lab"]).requests == REQUESTS


def compare_with_the_engines(load: RunningLoad) -> None:
    page = metrics.parse(f"{TTFT}_count 0\n{TTFT}_sum 0\n")
    found = compared(load, lambda: page, page)
    assert found.agreement is Agreement.NOT_COMPARABLE
    assert found.requests_by_client == REQUESTS


def count(load: RunningLoad) -> None:
    assert history.count(load.files.history) == REQUESTS


@pytest.mark.parametrize(
    "use", [judge_as_a_load, judge_as_a_trial, compare_with_the_engines, count]
)
def test_no_use_of_a_long_loads_rows_keeps_them(
    use: Callable[[RunningLoad], None], long_load: RunningLoad
) -> None:
    use(long_load)  # What is imported or cached on the way is not the rows'.
    tracemalloc.start()
    use(long_load)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # The pauses between tokens, of which each percentile needs all, and little more of a request.
    assert peak_bytes / REQUESTS < 4 * TOKENS + 250


def test_packing_holds_a_part_of_the_rows(tmp_path: Path) -> None:
    run = RunDirectory.create_at(
        tmp_path, RunInfo.begin(command=("x",), target_name="t", tool_version="0")
    )
    many = 12_000
    run.history_path("load").write_bytes(b"".join(line(row(n, tokens=2)) for n in range(many)))
    pack_histories(run)

    tracemalloc.start()
    assert pack_histories(run) == []
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak_bytes / many < 400


def test_streamed_rows_are_the_rows(tmp_path: Path) -> None:
    unsound = json.dumps({**history.to_row(row(1)), "end_ns": 1}).encode() + b"\n"
    torn = line(row(3))[:50]
    load = ended(tmp_path, line(row(0)) + unsound + line(row(2)) + torn)

    assert list(load.stream()) == load.rows() == [row(0), row(2)]

    with load.files.history.open("ab") as file:
        file.write(line(row(3))[50:])
    assert list(load.stream()) == load.rows() == [row(0), row(2), row(3)]


def test_a_history_that_does_not_exist_streams_nothing(tmp_path: Path) -> None:
    load = ended(tmp_path, b"")
    load.files.history.unlink()

    assert list(load.stream()) == load.rows() == []


def test_counting_refuses_what_reading_refuses(tmp_path: Path) -> None:
    twice = ended(tmp_path, 2 * line(row(0))).files.history

    with pytest.raises(HistoryError, match="request 0 has two rows"):
        history.count(twice)


def test_the_first_failure_of_each_class_is_the_example() -> None:
    refused = [
        Request(seq=n, sched_ns=n, error_class=FailureClass.CONNECT, detail=f"refused {n}")
        for n in range(3)
    ]

    account = Account.of(refused)
    assert account.examples == {"connect": "refused 0"}
    assert summarise(refused).failures == {"connect": 3}
