"""The plugin turns what happens in a test into the verdict the table in CONTRIBUTING.md gives."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from hotfire.rundir import TIME_SPENT, Result, RunDirectory
from hotfire.verdict import Conformance, Verdict

pytest_plugins = ["pytester"]

TARGET = """\
name: acme
gateway: {url: http://127.0.0.1:1}
engine: {model: tiny}
budgets: lab
claims: [streaming]
"""
HEADER = '''"""A stream ends with the sentinel.

Clients hang without it.
"""
import pytest
from pydantic import TypeAdapter
from hotfire import Level, requirement

pytestmark = requirement(
    "{id}", Level.{level}, __doc__, source="https://x", features={features}, scope="{scope}"
)

@pytest.fixture
def broken():
    raise ConnectionError("port-forward died")

@pytest.fixture
def leaky():
    yield
    assert False, "teardown broke"

'''
SEEN = '    evidence.record("x", 1)\n'


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(".yaml", target=TARGET)
    pytester.makeini(
        "[pytest]\naddopts = --import-mode=importlib -p no:locust -p no:hypothesispytest"
    )
    return pytester


def add_check(
    project: pytest.Pytester, body: str, *, stem: str = "test_stream", **claim: str
) -> None:
    facts = {"id": "API-003", "level": "MUST", "features": "frozenset()", "scope": "full"} | claim
    header = HEADER
    for name, value in facts.items():
        header = header.replace(f"{{{name}}}", value)
    path = project.path / "suites" / "api" / f"{stem}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + body)


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess(
        "-p", "hotfire.pytest_plugin", "--target", "target.yaml", *(options or ("suites",))
    )


def recorded(project: pytest.Pytester) -> list[Result]:
    return RunDirectory.open(project.path / "runs" / "latest").results()


def test_true_assertion_with_evidence_is_passed(project: pytest.Pytester) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}    assert True")

    outcome = run(project)

    [result] = recorded(project)
    assert (result.verdict, result.area, result.case) == (Verdict.PASSED, "api", "test_it")
    assert result.figures == {"x": 1}
    assert result.evidence == ("evidence/API-003/test_it/observations.jsonl",)
    assert outcome.ret == 0


def test_what_a_case_took_its_time_for_is_an_event(project: pytest.Pytester) -> None:
    add_check(
        project,
        "from hotfire.waiting import pause\n"
        f"def test_it(evidence):\n{SEEN}    pause(0.1, why='the probes')\n"
        f"def test_at_once(evidence):\n{SEEN}",
    )

    run(project)

    events = RunDirectory.open(project.path / "runs" / "latest").events()
    [event] = [one for one in events if one.what == TIME_SPENT]
    [spent] = TypeAdapter(list[dict[str, str | float]]).validate_python(event.data["spent"])
    assert event.source == "suites/api/test_stream.py::test_it"
    assert (spent["kind"], spent["what"], spent["times"]) == ("pause", "the probes", 1)


@pytest.mark.parametrize(
    ("recorded_budgets", "rows"),
    [
        ("[{'name': 'error_ratio', 'limit': 0.1, 'measured': 0.0, 'verdict': 'passed'}]", 1),
        ("[{'name': 'x', 'limit': 1, 'measured': float('inf'), 'verdict': 'failed'}]", 1),
        ("'none of them'", 0),
    ],
)
def test_budgets_a_case_records_are_part_of_its_result(
    project: pytest.Pytester, recorded_budgets: str, rows: int
) -> None:
    add_check(
        project, f"def test_it(evidence):\n    evidence.record('budgets', {recorded_budgets})"
    )

    run(project)

    [result] = recorded(project)
    assert len(result.budgets) == rows


@pytest.mark.parametrize(
    ("body", "verdict", "reason"),
    [
        (f"def test_it(evidence):\n{SEEN}    assert 1 == 2", Verdict.FAILED, "assert 1 == 2"),
        (f"def test_it(evidence):\n{SEEN}    assert 0, 'two\\nlines'", Verdict.FAILED, "two"),
        (
            f"def test_it(evidence):\n{SEEN}    raise OSError('no route')",
            Verdict.INCONCLUSIVE,
            "OSError: no route",
        ),
        (
            f"def test_it(evidence, broken):\n{SEEN}",
            Verdict.INCONCLUSIVE,
            "setup: ConnectionError: port-forward died",
        ),
        (
            f"def test_it(evidence, leaky):\n{SEEN}",
            Verdict.INCONCLUSIVE,
            "teardown: AssertionError: teardown broke",
        ),
        (
            f"def test_it(evidence, leaky):\n{SEEN}    assert 1 == 2",
            Verdict.FAILED,
            "assert 1 == 2",
        ),
        ("def test_it(evidence):\n    pass", Verdict.INCONCLUSIVE, "vacuous"),
        ("def test_it():\n    pass", Verdict.INCONCLUSIVE, "vacuous"),
        (
            f"def test_it(evidence):\n{SEEN}    pytest.fail('by hand')",
            Verdict.INCONCLUSIVE,
            "Failed: by hand",
        ),
        (
            f"import unittest\ndef test_it(evidence):\n{SEEN}"
            "    unittest.TestCase().assertEqual(1, 2)",
            Verdict.INCONCLUSIVE,
            "AssertionError: 1 != 2",
        ),
        (
            f"@pytest.mark.xfail\ndef test_it(evidence):\n{SEEN}    assert 1 == 2",
            Verdict.FAILED,
            "assert 1 == 2",
        ),
        (
            f"@pytest.mark.xfail(strict=True)\ndef test_it(evidence):\n{SEEN}",
            Verdict.INCONCLUSIVE,
            "marked xfail",
        ),
    ],
)
def test_table_of_verdicts(
    project: pytest.Pytester, body: str, verdict: Verdict, reason: str
) -> None:
    add_check(project, body)

    outcome = run(project)

    [result] = recorded(project)
    assert result.verdict is verdict
    assert result.reason.startswith(reason)
    assert outcome.ret == (1 if verdict is Verdict.FAILED else 6)


SESSION_WIDE = """
import pytest
from pydantic import TypeAdapter
from hotfire.errors import ClusterError, TargetNotReady

@pytest.fixture(scope="session")
def base():
    yield
    raise ClusterError("cannot delete Namespace x")

@pytest.fixture(scope="session")
def stack(base):
    yield
    raise OSError("no route")

@pytest.fixture(scope="session")
def unfound():
    raise ClusterError("cannot list Pod")

@pytest.fixture(scope="session")
def unready():
    raise TargetNotReady("vllm has 1/2 ready pods: Unschedulable")
"""


def test_trouble_of_taking_the_run_down_is_the_run_s(project: pytest.Pytester) -> None:
    project.makeconftest(SESSION_WIDE)
    add_check(project, f"def test_a(evidence, stack):\n{SEEN}\ndef test_b(evidence):\n{SEEN}")

    outcome = run(project)

    told = {(one.id, one.case): (one.verdict, one.reason) for one in recorded(project)}
    assert told == {
        ("API-003", "test_a"): (Verdict.PASSED, "as stated, 1 observation"),
        ("API-003", "test_b"): (Verdict.PASSED, "as stated, 1 observation"),
        ("RUN", "teardown of stack"): (Verdict.INCONCLUSIVE, "OSError: no route"),
        ("RUN", "teardown of base"): (
            Verdict.INCONCLUSIVE,
            "ClusterError: cannot delete Namespace x",
        ),
    }
    assert outcome.ret == 6


def test_case_answers_for_its_own_part_of_a_teardown(project: pytest.Pytester) -> None:
    project.makeconftest(SESSION_WIDE)
    add_check(
        project,
        f"@pytest.fixture\ndef leaky():\n    yield\n    raise OSError('own')\n"
        f"def test_it(evidence, stack, leaky):\n{SEEN}",
    )

    run(project)

    told = {one.case: one.reason for one in recorded(project)}
    assert told["test_it"] == "teardown: OSError: own"
    assert told["teardown of stack"] == "OSError: no route"


def test_trouble_of_setting_the_run_up_is_told_once_and_decides_no_case(
    project: pytest.Pytester,
) -> None:
    project.makeconftest(SESSION_WIDE)
    add_check(project, "def test_a(unfound): pass\ndef test_b(unfound): pass")

    run(project)

    told = [(one.case, one.verdict, one.reason) for one in recorded(project)]
    assert sorted(told) == [
        ("setup of unfound", Verdict.INCONCLUSIVE, "ClusterError: cannot list Pod"),
        ("test_a", Verdict.INCONCLUSIVE, "setup: ClusterError: cannot list Pod"),
        ("test_b", Verdict.INCONCLUSIVE, "setup: ClusterError: cannot list Pod"),
    ]


def test_target_that_was_awaited_in_vain_fails_what_needed_it(project: pytest.Pytester) -> None:
    project.makeconftest(SESSION_WIDE)
    add_check(project, "def test_it(unready): pass")

    outcome = run(project)

    [result] = recorded(project)
    assert result.verdict is Verdict.FAILED
    assert result.reason == "vllm has 1/2 ready pods: Unschedulable"
    assert outcome.ret == 1


def test_trouble_of_taking_down_a_run_that_stopped_itself_is_told(
    project: pytest.Pytester,
) -> None:
    project.makeconftest(SESSION_WIDE)
    add_check(
        project,
        f"def test_a(evidence, request, stack):\n{SEEN}"
        "    request.session.shouldstop = 'the target stays broken'\n"
        "def test_b(): pass",
    )

    outcome = run(project)

    told = {one.case for one in recorded(project) if one.id == "RUN"}
    assert told == {"teardown of stack", "teardown of base"}
    outcome.stdout.fnmatch_lines(["run: *"])


def test_trouble_of_taking_an_interrupted_run_down_is_told(project: pytest.Pytester) -> None:
    project.makeconftest(SESSION_WIDE)
    add_check(project, "def test_a(evidence, stack): raise KeyboardInterrupt")

    outcome = project.runpytest_subprocess(
        "-p", "hotfire.pytest_plugin", "--target", "target.yaml", "suites"
    )

    told = {one.case: one.reason for one in recorded(project) if one.id == "RUN"}
    assert told["teardown of stack"] == "OSError: no route"
    assert outcome.ret == pytest.ExitCode.INTERRUPTED


def test_trouble_of_the_run_survives_xdist(project: pytest.Pytester) -> None:
    project.makeconftest(SESSION_WIDE)
    add_check(project, f"def test_a(evidence, stack):\n{SEEN}\ndef test_b(evidence):\n{SEEN}")

    outcome = project.runpytest_subprocess(
        *("-p", "hotfire.pytest_plugin", "--target", "target.yaml", "-n", "1", "suites")
    )

    told = {one.case: one.verdict for one in recorded(project)}
    assert told["test_a"] is told["test_b"] is Verdict.PASSED
    assert {"teardown of stack", "teardown of base"} <= told.keys()
    assert outcome.ret == 6


def test_feature_not_claimed_is_not_applicable_with_the_reason(project: pytest.Pytester) -> None:
    add_check(project, "def test_it(broken): assert 0", features="{'tools', 'streaming'}")

    run(project)

    [result] = recorded(project)
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert result.reason == "target does not claim tools"
    assert not result.skipped_by_operator


def test_whoever_is_judged_by_the_record_of_the_run_comes_last(project: pytest.Pytester) -> None:
    fixture = "@pytest.fixture\ndef recorded_faults(): return {}\n"
    add_check(project, f"{fixture}def test_last(recorded_faults, evidence):\n{SEEN}")
    add_check(project, f"def test_it(evidence):\n{SEEN}", stem="test_zebra", id="API-004")

    run(project)

    assert [one.case for one in recorded(project)] == ["test_it", "test_last"]


@pytest.mark.parametrize(
    "body",
    [
        "@pytest.mark.skip(reason='flaky')\ndef test_it(): pass",
        "def test_it(): pytest.skip('flaky')",
    ],
)
def test_skip_by_hand_is_no_not_applicable(project: pytest.Pytester, body: str) -> None:
    add_check(project, body)

    outcome = run(project)

    [result] = recorded(project)
    assert (result.verdict, result.skipped_by_operator) == (Verdict.INCONCLUSIVE, True)
    assert result.reason == "skipped: flaky"
    assert outcome.ret == 6


def test_failed_should_is_listed_and_does_not_decide(project: pytest.Pytester) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}")
    add_check(project, "def test_no(): assert 0", stem="test_other", id="API-004", level="SHOULD")

    outcome = run(project)

    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*failed SHOULD API-004 test_no: assert 0*", "run: *"])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"id": "API-003"}, "API-003 is checked by both suites/api/*.py and suites/api/*.py"),
        ({"id": "api"}, "requirement id 'api' must look like API-003*"),
    ],
)
def test_malformed_collection_is_a_usage_error(
    project: pytest.Pytester, second: dict[str, str], message: str
) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}")
    add_check(project, "def test_no(): pass", stem="test_other", **second)

    outcome = run(project)

    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_missing_prose_is_a_usage_error(project: pytest.Pytester) -> None:
    add_check(project, "def test_it(): pass")
    path = project.path / "suites" / "api" / "test_stream.py"
    path.write_text(path.read_text().replace("Clients hang without it.", ""))

    outcome = run(project)

    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: API-003: the prose must give a statement*"])


def test_check_without_requirement_is_a_usage_error(project: pytest.Pytester) -> None:
    path = project.path / "suites" / "api" / "test_bare.py"
    path.parent.mkdir(parents=True)
    path.write_text("def test_it(): pass")

    outcome = run(project)

    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: suites/api/test_bare.py::test_it checks no requirement*"])


def test_tests_of_the_tool_are_left_alone(project: pytest.Pytester) -> None:
    path = project.path / "tests" / "test_tool.py"
    path.parent.mkdir()
    path.write_text("def test_it(evidence):\n    evidence.record('x', 1)\ndef test_no(): assert 0")

    outcome = run(project, "tests")

    outcome.assert_outcomes(passed=1, failed=1)
    assert outcome.ret == 1
    assert not (project.path / "runs").exists()


def test_only_runs_what_it_names_and_counts_the_rest_as_skipped(project: pytest.Pytester) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}")
    add_check(project, "def test_no(): assert 0", stem="test_other", id="API-004")

    outcome = run(project, "suites", "--only", "api-003")

    named, left_out = recorded(project)
    assert (named.id, named.verdict) == ("API-003", Verdict.PASSED)
    assert (left_out.id, left_out.reason) == ("API-004", "not selected")
    assert left_out.skipped_by_operator
    assert outcome.ret == 6


def test_core_scope_takes_what_is_core_and_says_so(project: pytest.Pytester) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}", scope="core")
    add_check(project, "def test_no(): assert 0", stem="test_other", id="API-004")

    outcome = run(project, "suites", "--scope", "core")

    [taken] = recorded(project)
    assert (taken.id, taken.verdict) == ("API-003", Verdict.PASSED)
    info = RunDirectory.open(next(project.path.glob("runs/2*"))).info()
    assert (info.scope, info.requirements_known, info.faults_known) == ("core", 2, 0)
    assert outcome.ret == 0


@pytest.mark.parametrize(
    ("scope", "taken"),
    [
        ("smoke", {"API-003"}),
        ("core", {"API-003", "API-004"}),
        ("full", {"API-003", "API-004", "API-005"}),
    ],
)
def test_scope_takes_what_smaller_ones_take(
    project: pytest.Pytester, scope: str, taken: set[str]
) -> None:
    for id_, smallest in (("API-003", "smoke"), ("API-004", "core"), ("API-005", "full")):
        stem = f"test_{smallest}"
        add_check(project, f"def test_it(evidence):\n{SEEN}", stem=stem, id=id_, scope=smallest)

    run(project, "suites", "--scope", scope)

    assert {result.id for result in recorded(project)} == taken


def test_what_only_names_is_taken_from_everything(project: pytest.Pytester) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}")

    run(project, "suites", "--scope", "core", "--only", "API-003")

    [taken] = recorded(project)
    assert taken.verdict is Verdict.PASSED


def test_only_refuses_what_does_not_exist(project: pytest.Pytester) -> None:
    add_check(project, "def test_it(): pass")

    outcome = run(project, "suites", "--only", "API-030")

    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["*no requirement or area 'api-030', did you mean 'api-003'?"])


def test_level_must_leaves_shoulds_out_without_doubt(project: pytest.Pytester) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}")
    add_check(project, "def test_no(): assert 0", stem="test_other", id="API-004", level="SHOULD")

    outcome = run(project, "suites", "--level", "must")

    assert outcome.ret == 0


def test_interrupted_run_is_not_conformant(project: pytest.Pytester) -> None:
    add_check(
        project,
        f"def test_a(evidence):\n{SEEN}\ndef test_b(): raise KeyboardInterrupt\ndef test_c(): pass",
    )

    outcome = project.runpytest_subprocess(
        "-p", "hotfire.pytest_plugin", "--target", "target.yaml", "suites"
    )

    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    verdicts = {result.case: result.verdict for result in recorded(project)}
    assert verdicts["test_a"] is Verdict.PASSED
    assert verdicts["test_b"] is verdicts["test_c"] is Verdict.INCONCLUSIVE
    info = RunDirectory.open(project.path / "runs" / "latest").info()
    assert info.conformance is Conformance.INCONCLUSIVE


def test_unreadable_target_file_is_a_usage_error(project: pytest.Pytester) -> None:
    add_check(project, "def test_it(): pass")
    (project.path / "target.yaml").write_text("nam: acme")

    outcome = run(project)

    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: target.yaml: *"])


def test_given_run_directory_is_used(project: pytest.Pytester, tmp_path: Path) -> None:
    add_check(project, f"def test_it(evidence):\n{SEEN}")

    run(project, "suites", "--run-dir", str(tmp_path / "mine"))

    mine = RunDirectory.open(tmp_path / "mine")
    assert [result.verdict for result in mine.results()] == [Verdict.PASSED]
    assert mine.info().conformance is Conformance.CONFORMANT
    assert json.loads(mine.path("target.json").read_text())["name"] == "acme"


def test_verdicts_survive_xdist(project: pytest.Pytester) -> None:
    add_check(
        project,
        f"def test_a(evidence):\n{SEEN}\ndef test_b(evidence):\n{SEEN}    assert 1 == 2\n"
        "def test_c(broken): pass",
    )
    add_check(project, "def test_no(): assert 0", stem="test_other", id="API-004")

    outcome = project.runpytest_subprocess(
        *("-p", "hotfire.pytest_plugin", "--target", "target.yaml", "-n", "1", "suites"),
        *("--only", "API-003"),
    )

    verdicts = sorted((result.case, result.verdict) for result in recorded(project))
    assert verdicts == [
        ("test_a", Verdict.PASSED),
        ("test_b", Verdict.FAILED),
        ("test_c", Verdict.INCONCLUSIVE),
        ("test_no", Verdict.INCONCLUSIVE),
    ]
    assert outcome.ret == 1


def test_several_workers_are_refused_before_anything_is_recorded(
    project: pytest.Pytester,
) -> None:
    add_check(project, f"def test_a(evidence):\n{SEEN}")

    outcome = project.runpytest_subprocess(
        *("-p", "hotfire.pytest_plugin", "--target", "target.yaml", "-n", "2", "suites")
    )

    assert outcome.ret == 254
    told = "Exit: -n 2: one session at a time has a target's cluster; leave -n out"
    assert outcome.errlines == [told]
    assert not (project.path / "runs").exists()


def test_several_workers_may_run_what_is_about_no_target(project: pytest.Pytester) -> None:
    path = project.makepyfile("def test_a(): pass\ndef test_b(): pass")

    outcome = project.runpytest_subprocess("-p", "hotfire.pytest_plugin", "-n", "2", path)

    assert outcome.ret == 0


def test_fault_is_named_after_its_own_file(project: pytest.Pytester) -> None:
    folder = project.path / "experiments" / "pods"
    folder.mkdir(parents=True)
    (folder / "kill-one.yaml").write_text("title: x")
    mark = (
        "requirement('FLT-POD-001', Level.MUST, 'A pod may die.\\n\\nThey do.', source='https://x')"
    )
    (folder.parent / "test_experiments.py").write_text(
        "from pathlib import Path\nimport pytest\nfrom hotfire import Level, requirement\n"
        "path = Path(__file__).parent / 'pods' / 'kill-one.yaml'\n"
        f"@pytest.mark.parametrize('path', [pytest.param(path, marks={mark}, id='kill-one')])\n"
        f"def test_target_withstands(path, evidence):\n{SEEN}"
    )

    run(project, "experiments", "--only", "pods")

    [result] = recorded(project)
    assert (result.kind, result.area, result.id) == ("fault", "pods", "FLT-POD-001")


def test_run_that_stops_itself_says_why(project: pytest.Pytester) -> None:
    add_check(
        project,
        f"def test_a(evidence, request):\n{SEEN}"
        "    request.session.shouldstop = 'the target stays broken'\n"
        "def test_b(): pass",
    )

    run(project)

    recording = RunDirectory.open(project.path / "runs" / "latest")
    assert [result.verdict for result in recording.results()] == [
        Verdict.PASSED,
        Verdict.INCONCLUSIVE,
    ]
    assert recording.info().notes == ("the target stays broken",)
    assert recording.info().conformance is Conformance.INCONCLUSIVE


def test_run_that_is_gone_on_with_keeps_its_verdicts_and_takes_the_rest(
    project: pytest.Pytester, tmp_path: Path
) -> None:
    add_check(project, f"def test_a(evidence):\n{SEEN}\ndef test_b(evidence):\n{SEEN}")
    run(project, "suites", "--run-dir", str(tmp_path / "mine"))
    mine = RunDirectory.open(tmp_path / "mine")
    first, second = mine.results()
    mine.replace_results([first], before="resume")

    outcome = run(project, "suites", "--run-dir", str(tmp_path / "mine"), "--resume")

    assert outcome.ret == 0
    assert [one.case for one in mine.results()] == ["test_a", "test_b"]
    assert mine.results()[0] == first
    assert mine.planned() == [first.nodeid, second.nodeid]
    assert mine.info().conformance is Conformance.CONFORMANT


def test_verdict_of_before_counts_in_a_run_that_is_gone_on_with(
    project: pytest.Pytester, tmp_path: Path
) -> None:
    add_check(
        project, f"def test_a(evidence):\n{SEEN}    assert False\ndef test_b(evidence):\n{SEEN}"
    )
    run(project, "suites", "--run-dir", str(tmp_path / "mine"))
    mine = RunDirectory.open(tmp_path / "mine")
    mine.replace_results(mine.results()[:1], before="resume")

    outcome = run(project, "suites", "--run-dir", str(tmp_path / "mine"), "--resume")

    assert outcome.ret == 1
    assert mine.info().conformance is Conformance.NONCONFORMANT


@pytest.mark.parametrize("rounds", ["0", "x", "1001"])
def test_number_of_rounds_is_refused_where_it_is_none(
    project: pytest.Pytester, rounds: str
) -> None:
    add_check(project, "def test_a(): pass")

    outcome = run(project, "suites", "--repeat", rounds)

    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
