"""Many answers, every misbehaviour mixed in: do truth and instrument agree on each field?"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.judged import Judged
from bench.rig import CLIENT_CORE, SERVER_CORE, pinned
from hotfire.engine.scripted import MIXED
from hotfire.measure import history
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import LoadPlan
from tests.engine_process import running_engine
from tests.truth import disagreements

RATE_PER_SECOND = 125
LATE_NS = 20_000_000
STALL_SECONDS = 0.3


def agreement(requests: int) -> Iterator[Judged]:
    """Judge the disagreements; print the first of them."""
    timing = (
        "--ttft-seconds",
        "0.02",
        "--tpot-seconds",
        "0.005",
        "--stall-seconds",
        str(STALL_SECONDS),
    )
    with (
        running_engine(*timing, "--misbehaviour", "mixed") as engine,
        tempfile.TemporaryDirectory() as folder,
    ):
        keep_punctual(engine.process.pid)
        plan = LoadPlan(
            url=engine.url, model="tiny", nonce="bench", max_tokens=8, ttft_seconds=2,
            stall_seconds=2, deadline_seconds=5, in_flight_cap=4000, process="constant",
            rate_per_second=RATE_PER_SECOND, duration_seconds=requests / RATE_PER_SECOND,
        )  # fmt: skip
        with pinned(CLIENT_CORE):
            load = launch.start(plan, history=Path(folder) / "load.jsonl", log=Path(folder) / "log")
        report = load.wait_finished(300)
        records = engine.truth()["records"]
        rows = history.load(load.files.history)
    wrong = list(disagreements(plan, rows, records, late_ns=LATE_NS, stall_seconds=STALL_SECONDS))
    kinds = {record["misbehaviour"] for record in records}
    for line in (*wrong[:10], *(gate.reason for gate in report.instrument if not gate.holds)):
        print(line, flush=True)
    yield Judged(what="rows to be compared", measured=len(rows), limit=requests, at_least=True)
    yield Judged(
        what="misbehaviours among them", measured=len(kinds), limit=len(MIXED), at_least=True
    )
    yield Judged(what="fields in which instrument and truth disagree", measured=len(wrong), limit=0)
    yield Judged(
        what="gates tripped meanwhile",
        measured=sum(not gate.holds for gate in report.instrument),
        limit=0,
    )


def keep_punctual(engine_pid: int) -> None:
    """Give the engine a core, ahead of ordinary processes where permitted.

    Its stamps precede what they speak of: an engine that waits for its core is late, not the load.
    """
    os.sched_setaffinity(engine_pid, {int(SERVER_CORE)})
    with suppress(PermissionError):
        os.sched_setscheduler(engine_pid, os.SCHED_RR, os.sched_param(1))
