"""The instrument and the engine agree on every field, whatever the engine does to the stream."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from hotfire.engine import scripted
from hotfire.measure import history
from hotfire.measure.history import Request
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import NANO, LoadPlan
from hotfire.traffic.workload.request import Requests
from tests.engine_process import running_engine
from tests.patience import PATIENT
from tests.truth import CLASSES, disagreements

# A shared machine may stand still for a moment; how exact the times are is measured in bench.
LATE_NS = 1_000_000_000
STALL_SECONDS = 0.3
ROWS = 5
EXCUSED = r"\((interim|pipelined)\)"


@dataclass(frozen=True, slots=True)
class Mixed:
    """A load on an engine that misbehaves in every way, and the engine's record of it."""

    plan: LoadPlan
    rows: list[Request]
    records: list[dict[str, Any]]

    def disagreements(self) -> list[str]:
        return list(
            disagreements(
                self.plan, self.rows, self.records, late_ns=LATE_NS, stall_seconds=STALL_SECONDS
            )
        )

    def with_one(self, fate: str, change: Callable[[Request], dict[str, Any]]) -> "Iterator[Mixed]":
        """Yield the same with one row of that misbehaviour changed, each in turn."""
        prompts = {r["prompt"] for r in self.records if r["misbehaviour"] == fate}
        texts = Requests(self.plan).texts
        for place, row in enumerate(self.rows):
            if place and texts.prompt(row.prompt_id)[:80] in prompts:
                rows = [*self.rows[:place], replace(row, **change(row)), *self.rows[place + 1 :]]
                yield replace(self, rows=rows)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return measured(tmp_path_factory.mktemp("mixed"), duration_seconds=10)


def test_every_misbehaviour_has_a_class() -> None:
    assert set(CLASSES) == set(scripted.MIXED)


def test_truth_and_instrument_agree_on_every_field(mixed: Mixed) -> None:
    assert mixed.disagreements() == []


def test_truth_and_the_other_client_agree_too(tmp_path: Path) -> None:
    found = measured(tmp_path, duration_seconds=4, client="geventhttpclient", connection="fresh")

    # geventhttpclient 2.6 lets its socket go when an interim answer has ended, and takes bytes
    # after an answer for a defect of the answer.
    wrong = [line for line in found.disagreements() if not re.search(EXCUSED, line)]
    assert wrong == []


MILLISECOND = 1_000_000
CHANGES: dict[str, tuple[str, Callable[[Request], dict[str, Any]], str]] = {
    "a misplaced stall": ("stall", lambda row: {"gaps_us": turned(row)}, "place of the stall"),
    "a shorter stall": ("stall", lambda row: {"gaps_us": eased(row)}, "whole stall seen"),
    "a gap moved": ("slow", lambda row: {"gaps_us": rushed(row)}, "chunks out of time"),
    "an early end": ("ok", lambda row: {"end_ns": moved(row.end_ns, -2)}, "end_ns"),
    "a late end": ("ok", lambda row: {"end_ns": moved(row.end_ns, 1200)}, "end_ns"),
    "given up too soon": ("hang", lambda row: {"end_ns": moved(row.end_ns, -90)}, "given up"),
    "early headers": ("ok", lambda row: {"headers_ns": moved(row.headers_ns, -5)}, "headers_ns"),
    "output before thought": (
        "reasoning", lambda row: {"first_output_ns": row.first_ns}, "first_output_ns",
    ),
    "sent too soon": ("ok", lambda row: {"send_ns": moved(row.sched_ns, -2)}, "sent when due"),
    "sent after arrival": ("ok", lambda row: {"send_ns": row.first_ns}, "sent before it arrived"),
    "sent long before": (
        "ok", lambda row: {"send_ns": moved(row.send_ns, -1200)}, "sent before it arrived",
    ),
    "due at another time": ("ok", lambda row: {"sched_ns": moved(row.sched_ns, 1)}, "sched_ns"),
    "another connection": (
        "ok", lambda row: {"conn_reused": not row.conn_reused}, "conn_reused",
    ),
    "connected for long": (
        "ok", lambda row: {"conn_reused": False, "connect_ns": 9 * NANO}, "connect_ns within",
    ),
    "out of order": (
        "ok", lambda row: {"first_ns": row.last_ns, "last_ns": row.first_ns}, "in order",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_one_wrong_field_is_found(mixed: Mixed, name: str) -> None:
    fate, change, told = CHANGES[name]

    changed = [one.disagreements() for one in islice(mixed.with_one(fate, change), ROWS)]
    found = [any(told in line for line in lines) for lines in changed]

    # Where the machine stood still, a row may have been wrong by as much the other way.
    assert found
    assert sum(found) > len(found) / 2, changed


def moved(stamp_ns: int | None, milliseconds: float) -> int:
    return (stamp_ns or 0) + round(milliseconds * MILLISECOND)


def turned(row: Request) -> list[int]:
    """Return the gaps, each in the place of the one before it."""
    return [*row.gaps_us[1:], row.gaps_us[0]]


def eased(row: Request) -> list[int]:
    """Return the gaps with the longest a little shorter."""
    return [gap - 10_000 if gap == max(row.gaps_us) else gap for gap in row.gaps_us]


def rushed(row: Request) -> list[int]:
    """Return the gaps with most of the longest given to the next; their sum is the same."""
    gaps = list(row.gaps_us)
    # A machine that stood still may have left no pause elsewhere.
    longest = gaps.index(max(gaps[:-1]))
    moved_us = gaps[longest] - gaps[longest] // 10
    gaps[longest] -= moved_us
    gaps[longest + 1] += moved_us
    return gaps


def measured(tmp_path: Path, **changes: Any) -> Mixed:  # noqa: ANN401 - fields of the plan
    """Return a mixed load."""
    timing = ["--ttft-seconds", "0.02", "--tpot-seconds", "0.005"]
    timing += ["--stall-seconds", str(STALL_SECONDS)]
    with running_engine(*timing, "--misbehaviour", "mixed") as engine:
        with suppress(PermissionError):
            # As the load: what else this machine does is no matter of either's clock.
            os.setpriority(
                os.PRIO_PROCESS, engine.process.pid, LoadPlan.model_fields["nice"].default
            )
        fields: dict[str, Any] = {
            "url": engine.url, "model": "tiny", "rate_per_second": 60, "ttft_seconds": 4,
            "stall_seconds": 4, "deadline_seconds": 8, "max_tokens": 8, "gates": PATIENT,
            "nonce": "truth",
        }  # fmt: skip
        plan = LoadPlan(**fields | changes)
        load = launch.start(plan, history=tmp_path / "load.jsonl", log=tmp_path / "log")
        report = load.wait_finished(60)
        records = engine.truth()["records"]
    rows = history.load(load.files.history)
    assert report.valid, report.instrument
    assert len(rows) > 0.8 * plan.rate_per_second * plan.duration_seconds
    return Mixed(plan, rows, records)
