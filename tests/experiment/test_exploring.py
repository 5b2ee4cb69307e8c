"""Faults are drawn, fired and shrunk: the same seed draws the same, and what fails gets small."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hotfire.chaos.plan import Plan
from hotfire.chaos.written import Target
from hotfire.experiment import Experiment
from hotfire.experiment.exploring.compose import compose
from hotfire.experiment.exploring.exploration import Exploration, Finding, Outcome, World
from hotfire.experiment.exploring.invariants import broken
from hotfire.experiment.exploring.order import Order
from hotfire.experiment.exploring.schedule import Hold, Part, Schedule, draw
from hotfire.experiment.exploring.shrink import shrink, smaller
from hotfire.experiment.facts import Record
from hotfire.measure.history import FailureClass, Request
from hotfire.profile import TargetProfile
from hotfire.verdict import Verdict
from tests.chaos.platform import profile_for
from tests.experiment.test_judgement import INJECTED, SECOND, T0, answered, event, record

IDS = [f"FLT-X-{number:03d}" for number in range(1, 9)]
A, B = IDS[2], IDS[5]
HOLDS = {name: Hold(least=0, most=30) for name in IDS}
ROOT = Path(__file__).parents[2]


def anything(faults: tuple[str, ...]) -> bool:
    return bool(faults)


def schedule(*faults: str, hold: float = 30.0) -> Schedule:
    parts = tuple(Part(fault=one, after_seconds=3.0 if n else 0.0) for n, one in enumerate(faults))
    return Schedule(parts=parts, hold_seconds=hold)


@given(st.integers(0, 99), st.integers(1, 50))
def test_the_same_seed_draws_the_same(seed: int, number: int) -> None:
    first = draw(seed, number, HOLDS, anything)

    assert draw(seed, number, dict(reversed(HOLDS.items())), anything) == first
    assert 1 <= len(set(first.faults)) == len(first.parts) <= 3


def test_another_seed_draws_otherwise() -> None:
    drawn = {draw(seed, 1, HOLDS, anything) for seed in range(20)}

    assert len(drawn) > 10


@given(st.integers(0, 500))
def test_faults_that_must_not_overlap_are_never_drawn_together(seed: int) -> None:
    found = draw(seed, 1, HOLDS, lambda faults: not {A, B} <= set(faults))

    assert not {A, B} <= set(found.faults)


@given(st.integers(0, 500))
def test_no_fault_is_held_for_less_or_more_than_it_may(seed: int) -> None:
    bounds = {A: Hold(least=10, most=10), B: Hold(least=0, most=60)}

    found = draw(seed, 1, bounds, anything)

    both = Hold.together([bounds[name] for name in found.faults])
    assert both.least <= found.hold_seconds <= both.most


def test_a_failing_schedule_is_shrunk_to_the_two_faults_that_must_overlap() -> None:
    asked: list[Schedule] = []

    def fails(one: Schedule) -> bool:
        asked.append(one)
        return {A, B} <= set(one.faults)

    found = shrink(schedule(A, IDS[0], B), HOLDS, fails)

    assert found == Schedule(parts=(Part(fault=A), Part(fault=B)), hold_seconds=0.0)
    assert len(set(asked)) == len(asked) < 12


def test_one_fault_that_fails_alone_is_all_that_is_left() -> None:
    found = shrink(schedule(IDS[0], A, B), HOLDS, lambda one: B in one.faults)

    assert found.faults == (B,)


def test_a_pause_that_it_takes_is_kept() -> None:
    found = shrink(schedule(A, B), HOLDS, lambda one: any(part.after_seconds for part in one.parts))

    assert [part.after_seconds for part in found.parts] == [0.0, 3.0]


def test_nothing_smaller_is_held_for_less_than_a_fault_needs() -> None:
    holds = {A: Hold(least=20, most=20), B: Hold(least=0, most=30)}

    assert min(one.hold_seconds for one in smaller(schedule(A, B), holds) if A in one.faults) == 20


class Clock:
    """A clock that goes on by a minute for every schedule."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def explore(
    outcome: Callable[[Schedule], Outcome], *, minutes: float = 40, holds: Iterable[str] = IDS
) -> tuple[Exploration, list[Finding], list[str]]:
    """Run a search on a target that answers each schedule with an outcome."""
    clock, kept, said = Clock(), list[Finding](), list[str]()

    def fire(_number: int, one: Schedule) -> Outcome:
        clock.seconds += 60
        return outcome(one)

    world = World(
        holds={name: HOLDS[name] for name in holds},
        fits=anything,
        fire=fire,
        keep=kept.append,
        say=said.append,
        seconds=clock,
    )
    search = Exploration(order=Order(seed=3, minutes=minutes), world=world)
    search.run()
    return search, kept, said


def breaks_where_a_overlaps_b(one: Schedule) -> Outcome:
    failed = {A, B} <= set(one.faults)
    return Outcome(Verdict.FAILED if failed else Verdict.PASSED, "streams were cut" * failed)


def test_a_hidden_defect_is_found_and_shrunk_to_exactly_the_faults_that_show_it() -> None:
    search, kept, _ = explore(breaks_where_a_overlaps_b, minutes=120)

    assert search.findings
    assert {frozenset(one.smallest.faults) for one in search.findings} == {frozenset({A, B})}
    assert all(one.whole and one.smallest.hold_seconds == 0 for one in search.findings)
    # It was written as drawn first, so that an interrupted search has it, too.
    assert kept[0].smallest == kept[0].drawn


def test_the_same_seed_goes_the_same_way() -> None:
    assert explore(breaks_where_a_overlaps_b)[2] == explore(breaks_where_a_overlaps_b)[2]


def test_a_target_that_withstands_everything_leaves_nothing_to_write() -> None:
    search, kept, _ = explore(lambda _: Outcome(Verdict.PASSED, ""), minutes=5)

    assert (search.findings, kept) == ([], [])
    assert search.verdicts[Verdict.PASSED] == 5


def test_what_fails_once_only_is_kept_and_said_to_be_so() -> None:
    outcomes = iter([Outcome(Verdict.FAILED, "chance")])

    search, _, _ = explore(lambda _: next(outcomes, Outcome(Verdict.PASSED, "")), minutes=3)

    [found] = search.findings
    assert (found.times, found.whole, found.smallest) == (1, False, found.drawn)


def test_a_target_that_stays_broken_is_fed_nothing_more() -> None:
    search, _, _ = explore(lambda _: Outcome(Verdict.FAILED, "down", stop=True))

    assert search.stopped == "down"
    assert search.verdicts.total() == 1
    assert not search.findings[0].whole


def test_what_could_not_be_judged_leaves_unknown_whether_it_is_the_smallest() -> None:
    def outcome(one: Schedule) -> Outcome:
        if len(one.parts) < 2:
            return Outcome(Verdict.INCONCLUSIVE, "refused")
        return breaks_where_a_overlaps_b(one)

    search, _, _ = explore(outcome, holds=(A, B), minutes=30)

    assert search.findings[0].smallest.faults in {(A, B), (B, A)}
    assert not search.findings[0].whole


def test_interrupted_it_has_written_what_it_found() -> None:
    kept = list[Finding]()
    outcomes = iter([Outcome(Verdict.FAILED, "down")])

    def fire(_number: int, _one: Schedule) -> Outcome:
        if found := next(outcomes, None):
            return found
        raise KeyboardInterrupt

    world = World(
        holds=HOLDS, fits=anything, fire=fire, keep=kept.append, say=str, seconds=lambda: 0.0
    )
    with pytest.raises(KeyboardInterrupt):
        Exploration(order=Order(seed=1, minutes=1), world=world).run()

    assert [one.reason for one in kept] == ["down"]


# As an experiment file


@pytest.fixture
def known() -> dict[str, Experiment]:
    paths = ("network/uplink-carrier-down.yaml", "pods/kill-one-engine.yaml")
    found = [Experiment.load(ROOT / "experiments" / path) for path in paths]
    return {one.id: one for one in found}


@pytest.fixture
def profile(tmp_path: Path) -> TargetProfile:
    return profile_for(tmp_path, "http://127.0.0.1:1")


def test_a_schedule_is_written_as_an_experiment_that_loads(
    known: dict[str, Experiment], profile: TargetProfile, tmp_path: Path
) -> None:
    document = compose(schedule(*known, hold=12), known, profile, id_="FLT-S1-001", told="Found.")
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(document))
    fault = Experiment.load(path).fault

    assert fault.id == "FLT-S1-001"
    assert [(step.word, step.part, step.after_seconds) for step in fault.steps] == [
        ("link-down", 0, 0.0), ("pod-kill", 1, 3.0),
    ]  # fmt: skip
    assert (fault.hold_seconds, fault.repaired_by) == (12, "target")
    assert fault.features == {"redundant-uplinks"}


def test_together_faults_may_cost_what_each_may_and_promise_what_both_promise(
    known: dict[str, Experiment], profile: TargetProfile
) -> None:
    document = compose(schedule(*known), known, profile, id_="FLT-S1-001", told="Found.")
    budgets = document["extensions"][0]["budgets"]

    assert budgets == {
        "error_ratio": 0.015, "longest_stall_seconds": 3.0, "recovery_seconds": 15.0,
    }  # fmt: skip


def test_one_fault_alone_keeps_its_own_words(
    known: dict[str, Experiment], profile: TargetProfile
) -> None:
    [name, _] = known
    document = compose(schedule(name), known, profile, id_="FLT-S1-001", told="Found.")

    assert document["extensions"][0]["targets"]["word"] == "uplink-of-engine-node"
    assert "part" not in document["extensions"][0]["steps"][0]


# What holds of every fault


PLAN = Plan(
    experiment="FLT-X-001",
    targets=(Target(name="e1", uid="u1"),),
    bystanders=(Target(name="e2", uid="u2"),),
    before=("u1", "u2"),
)


def recorded(*later: Request) -> Record:
    """Return a record of answers of 16 tokens before a fault at 60 s, and of some after it."""
    before = [answered(seq, T0 + seq * SECOND) for seq in range(50)]
    events = [event("injected", INJECTED)]
    return record(requests=[*before, *later], events=events)


def late(**changes: object) -> Request:
    return replace(answered(99, T0 + 61 * SECOND), **changes)  # type: ignore[arg-type]


def test_a_stream_cut_at_the_engine_that_was_hit_breaks_nothing() -> None:
    row = late(served_by="e1", error_class=FailureClass.TRUNCATED_NO_DONE, status=200)

    assert row.stream_lost
    assert list(broken(recorded(row), PLAN)) == []


def test_a_stream_cut_at_an_engine_that_nobody_hit_is_told() -> None:
    row = late(served_by="e2", error_class=FailureClass.TRUNCATED_NO_DONE, status=200)

    [told] = broken(recorded(row), PLAN)

    assert told.endswith("no broken part carried: 1 of e2")


def test_behind_a_proxy_that_was_killed_every_stream_may_be_cut() -> None:
    row = late(served_by="e2", error_class=FailureClass.TRUNCATED_NO_DONE, status=200)
    proxy = PLAN.model_copy(update={"targets": (Target(name="proxy", uid="p"),)})

    assert list(broken(recorded(row), proxy)) == []


def test_an_answer_that_ended_well_and_lacks_tokens_is_told() -> None:
    [told] = broken(recorded(late(n_out=9)), PLAN)

    assert told == "1 answers ended well and lack tokens, such as request 99"


def test_where_answers_differ_in_length_nobody_can_tell_which_is_cut() -> None:
    found = recorded(late(n_out=9))
    mixed = replace(found, requests=[*found.requests, replace(answered(98, T0), n_out=5)])

    assert list(broken(mixed, PLAN)) == []
