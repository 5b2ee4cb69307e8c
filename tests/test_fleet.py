"""Clocks agree within the error stated, and a lossy connection loses no row and doubles none."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.measure import history
from hotfire.measure.history import Request
from hotfire.traffic.process import messages as say
from hotfire.traffic.process.master import Master
from hotfire.traffic.process.member import Member
from hotfire.traffic.process.worker import Outbox
from hotfire.traffic.record.files import Files, Measured
from hotfire.traffic.record.fitness import worst
from hotfire.traffic.workload.plan import LoadPlan

PLAN = LoadPlan(url="http://gateway", model="tiny", workers=1)
delays = st.lists(st.tuples(st.integers(1, 10**8), st.integers(1, 10**8)), min_size=1, max_size=25)


@given(delays, st.integers(-(10**12), 10**12))
def test_the_clocks_offset_is_known_within_its_error(
    trips: list[tuple[int, int]], zero_ns: int
) -> None:
    member, now = Member("a", 0), 10**15
    for number, (there, back) in enumerate(trips):
        member.asked(number, now)
        heard = now + there - zero_ns
        now += there + back
        member.on_pong(say.Pong(number=number, monotonic_ns=heard, epoch_ns=heard), now)

    error_ns = member.record().clock_error_seconds * 1e9
    assert abs(member.zero_ns - zero_ns) <= error_ns + 1
    assert error_ns == pytest.approx(min(map(sum, trips)) / 2)


def test_a_late_answer_to_an_earlier_ping_says_nothing() -> None:
    member = Member("a", 0)
    member.asked(1, 100)

    member.on_pong(say.Pong(number=0, monotonic_ns=5, epoch_ns=5), 101)

    assert not member.answered.is_set()


def test_the_drift_is_what_the_clock_moved_between_two_measurements() -> None:
    member = Member("a", 0)
    for zero_ns, slow_ns in ((5_000, 100), (5_700, 300)):
        member.begin_clock()
        for number, back in enumerate((10_000_000, slow_ns)):
            member.asked(number, 0)
            member.on_pong(say.Pong(number=number, monotonic_ns=-zero_ns, epoch_ns=0), back)

    drift_ns = member.record().clock_drift_seconds * 1e9
    assert drift_ns == pytest.approx(700, abs=(100 + 300) / 2)


class Wire:
    """A connection between an outbox and a master that loses a third of all messages."""

    def __init__(self) -> None:
        self.listeners: dict[str, Any] = {}
        self.clients = SimpleNamespace(ready=[], all=[], missing=[])
        self.chance = random.Random(1)  # noqa: S311 - reproducible
        self.outbox: Outbox | None = None

    def register_message(self, kind: str, listener: Any, concurrent: bool = False) -> None:  # noqa: ANN401
        self.listeners[kind] = listener

    def send_message(self, kind: str, data: Any = None, client_id: str | None = None) -> None:  # noqa: ANN401
        if self.chance.random() < 1 / 3:
            return
        if kind == say.GOT and self.outbox:
            self.outbox.forget(data["number"])
        if kind == say.ROWS:
            self.listeners[kind](environment=None, msg=SimpleNamespace(data=data, node_id="a"))


def test_every_row_arrives_once_over_a_connection_that_loses(tmp_path: Path) -> None:
    wire = Wire()
    master = Master(wire, PLAN, Files(tmp_path / "h.jsonl"), leave=lambda: None)
    master.admit(["a"])
    wire.outbox = outbox = Outbox(wire, again_seconds=0)
    long = "x" * (say.PART_BYTES // 3)

    for seq in range(20):
        outbox.keep(Request(seq=seq, sched_ns=seq, detail=long))
    outbox.deliver_all(20)

    assert [row.seq for row in history.load(tmp_path / "h.jsonl")] == list(range(20))


@given(st.text(max_size=50), st.integers(0, 3))
def test_a_plan_in_parts_is_whole_again(text: str, copies: int) -> None:
    whole = text + "y" * copies * say.PART_BYTES
    pieces = list(say.parts(whole))

    assert "".join(piece.text for piece in pieces) == whole
    assert all(len(piece.text.encode()) <= say.PART_BYTES for piece in pieces)
    assert [(piece.part, piece.parts) for piece in pieces] == [
        (number, len(pieces)) for number in range(len(pieces))
    ]


def figures(**changed: float) -> Measured:
    names = ("lag_p50", "lag_p99", "lag_max", "lateness_p50", "lateness_p99", "lateness_max")
    fields = {f"{name}_seconds": 0.001 for name in names} | {"gc_pause_max_seconds": 0.0}
    return Measured.model_validate(
        fields | {"dispatched": 10, "cpu_ratio": 0.1, "nice": 0, "realtime": True} | changed
    )


def test_no_average_hides_a_worker_that_is_not_fit() -> None:
    merged = worst([figures(lag_p99_seconds=0.5), figures(cpu_ratio=0.9, realtime=False)])

    assert (merged.lag_p99_seconds, merged.cpu_ratio, merged.realtime) == (0.5, 0.9, False)
    assert merged.dispatched == 20
