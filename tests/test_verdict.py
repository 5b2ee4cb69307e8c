"""Verdicts merge to the worst, and only MUSTs decide over a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.requirement import Level
from hotfire.verdict import EXIT_CODES, Conformance, Verdict, conformance, merge

verdicts = st.sampled_from(list(Verdict))
rows = st.tuples(st.sampled_from(list(Level)), verdicts, st.booleans())
PASSED_MUST = (Level.MUST, Verdict.PASSED, False)


def test_merge_of_no_verdicts_is_inconclusive() -> None:
    assert merge([]) is Verdict.INCONCLUSIVE


@given(st.lists(verdicts, min_size=1))
def test_merge_returns_one_of_its_verdicts_and_ignores_their_order(some: list[Verdict]) -> None:
    merged = merge(some)

    assert merged in some
    assert merged is merge(reversed(some))


@given(st.lists(verdicts, min_size=1), st.lists(verdicts, min_size=1))
def test_merge_of_merges_is_the_merge_of_all(left: list[Verdict], right: list[Verdict]) -> None:
    assert merge([merge(left), merge(right)]) is merge(left + right)


@given(st.lists(verdicts))
def test_one_failed_verdict_decides_a_merge(some: list[Verdict]) -> None:
    assert merge([*some, Verdict.FAILED]) is Verdict.FAILED


def test_inconclusive_outweighs_passed() -> None:
    assert merge([Verdict.PASSED, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE


def test_run_without_results_is_inconclusive() -> None:
    assert conformance([]) is Conformance.INCONCLUSIVE


def test_run_in_which_nothing_applied_is_inconclusive() -> None:
    assert conformance([(Level.MUST, Verdict.NOT_APPLICABLE, False)]) is Conformance.INCONCLUSIVE


@given(st.lists(rows))
def test_failed_must_makes_any_run_nonconformant(
    some: list[tuple[Level, Verdict, bool]],
) -> None:
    assert conformance([*some, (Level.MUST, Verdict.FAILED, False)]) is Conformance.NONCONFORMANT


@given(st.lists(rows.filter(lambda row: row[0] is Level.SHOULD)))
def test_shoulds_never_decide(shoulds: list[tuple[Level, Verdict, bool]]) -> None:
    assert conformance([PASSED_MUST, *shoulds]) is Conformance.CONFORMANT


@pytest.mark.parametrize(
    "row", [(Level.MUST, Verdict.INCONCLUSIVE, False), (Level.MUST, Verdict.PASSED, True)]
)
def test_inconclusive_or_skipped_must_makes_a_run_inconclusive(
    row: tuple[Level, Verdict, bool],
) -> None:
    assert conformance([PASSED_MUST, row]) is Conformance.INCONCLUSIVE


def test_claimless_must_does_not_spoil_a_run() -> None:
    unclaimed = (Level.MUST, Verdict.NOT_APPLICABLE, False)

    assert conformance([PASSED_MUST, unclaimed]) is Conformance.CONFORMANT


def test_exit_codes_are_the_documented_interface() -> None:
    assert [EXIT_CODES[statement] for statement in Conformance] == [0, 1, 2]
