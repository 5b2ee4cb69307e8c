"""A run is told requirement by requirement, worst first."""

import pytest

from hotfire.outcome import extent, headline, outcomes, statement
from hotfire.requirement import Level, Scope
from hotfire.rundir import Result, RunInfo
from hotfire.verdict import Conformance, Verdict
from tests.sample_run import result


def info(stated: Conformance | None, **facts: object) -> RunInfo:
    begun = RunInfo.begin(command=("hotfire",), target_name="acme", tool_version="1")
    return begun.model_copy(update={"conformance": stated, **facts})


def test_worst_case_decides_a_requirement() -> None:
    [outcome] = outcomes(
        [
            result("API-001", Verdict.PASSED, case="a"),
            result("API-001", Verdict.FAILED, case="b", reason="assert 404"),
        ]
    )

    assert outcome.verdict is Verdict.FAILED
    assert outcome.decisive.reason == "assert 404"


def test_requirements_come_worst_first_and_musts_before_shoulds() -> None:
    found = outcomes(
        [
            result("API-001", Verdict.PASSED),
            result("API-002", Verdict.FAILED, level=Level.SHOULD),
            result("API-003", Verdict.FAILED),
            result("API-004", Verdict.INCONCLUSIVE, reason="not selected"),
            result("API-005", Verdict.INCONCLUSIVE),
        ]
    )

    ids = [outcome.first.id for outcome in found]
    assert ids == ["API-003", "API-002", "API-005", "API-004", "API-001"]


def test_case_that_ran_twice_counts_as_it_ended_last() -> None:
    rows = [result("API-001", Verdict.FAILED), result("API-001", Verdict.PASSED)]

    assert statement(rows) is Conformance.CONFORMANT
    assert outcomes(rows)[0].verdict is Verdict.PASSED


def test_headline_names_what_went_wrong_and_counts_the_rest() -> None:
    rows = [
        result("API-001", Verdict.FAILED),
        result("API-002", Verdict.INCONCLUSIVE),
        result("API-003", Verdict.INCONCLUSIVE, reason="not selected"),
        result("API-004", Verdict.PASSED),
    ]

    sentence = headline(info(statement(rows)), outcomes(rows))

    assert sentence == (
        "acme is nonconformant: 1 failed (API-001), 1 inconclusive (API-002), "
        "1 left out by the operator, 1 passed"
    )


def test_headline_of_nothing_says_so() -> None:
    assert headline(info(None), []) == "acme is not judged: no requirement was judged"


def test_run_cut_short_is_not_conformant() -> None:
    rows = [result("API-001", Verdict.PASSED)]

    assert statement(rows, planned=[rows[0].nodeid]) is Conformance.CONFORMANT
    assert statement(rows, planned=[rows[0].nodeid, "another"]) is Conformance.INCONCLUSIVE


def test_trouble_of_the_run_is_no_requirement_and_leaves_none_conformant() -> None:
    results = [result("API-001", Verdict.PASSED), Result.of_run("teardown of stack", "no answer")]

    assert statement(results) is Conformance.INCONCLUSIVE
    said = headline(info(Conformance.INCONCLUSIVE), outcomes(results))
    assert said == "acme is inconclusive: the run itself was in trouble, 1 passed"


def test_only_a_full_run_is_conformant_without_a_qualifier() -> None:
    rows = outcomes([result("API-001", Verdict.PASSED), Result.of_run("end", "no answer")])
    core = info(Conformance.CONFORMANT, scope=Scope.CORE, requirements_known=117, faults_known=46)

    assert headline(core, rows[1:]) == (
        "acme is conformant (core: 1 of 71 requirements and 0 of 46 faults): 1 passed"
    )
    assert headline(info(Conformance.CONFORMANT), rows[1:]) == "acme is conformant: 1 passed"


def test_what_the_operator_left_out_is_not_counted_and_told() -> None:
    rows = outcomes(
        [
            result("API-001", Verdict.PASSED),
            result("API-002", Verdict.INCONCLUSIVE, reason="not selected"),
            result("FLT-POD-001", Verdict.PASSED),
        ]
    )
    full = info(Conformance.INCONCLUSIVE, requirements_known=3, faults_known=1)

    assert extent(full, rows) == "part of full: 1 of 2 requirements and 1 of 1 faults"


def test_run_that_told_no_faults_apart_counts_them_with_the_requirements() -> None:
    old = info(Conformance.CONFORMANT, scope=Scope.CORE, requirements_known=90)

    assert extent(old, outcomes([result("API-001", Verdict.PASSED)])) == (
        "core: 1 of 90 requirements and faults"
    )


@pytest.mark.parametrize("scope", list(Scope))
def test_each_scope_takes_what_the_smaller_ones_take(scope: Scope) -> None:
    assert [scope.holds(one) for one in Scope] == sorted(
        (scope.holds(one) for one in Scope), reverse=True
    )
    assert scope.holds(scope)
    assert scope is Scope.FULL or not scope.holds(Scope.FULL)
