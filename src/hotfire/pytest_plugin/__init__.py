"""The only package that knows pytest's hooks: collection rules, verdicts, the record of a run.

Items below suites/ and experiments/ are cases of a requirement; every other item is left alone.
"""

import argparse
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from hotfire.evidence import Evidence, redact
from hotfire.profile import TargetProfile
from hotfire.pytest_plugin.blame import BLAME, Blame
from hotfire.pytest_plugin.case import Case, finding, unit_roots
from hotfire.pytest_plugin.recorder import (
    CASE,
    RESULT,
    TOLD_TROUBLE,
    TROUBLE,
    Recorder,
    cases,
)
from hotfire.pytest_plugin.selection import KNOWN, READING, select
from hotfire.pytest_plugin.session import (
    refuse_side_by_side,
    run_directory,
    target_profile,
    worker_input,
    write_plan,
)
from hotfire.requirement import Scope
from hotfire.rundir import TIME_SPENT, Event, RunDirectory
from hotfire.shown import shown
from hotfire.time_spent import ledger
from hotfire.verdict import Verdict

__all__ = ["run_directory", "target_profile"]

_WORDS = {
    Verdict.PASSED: (".", {"green": True}),
    Verdict.FAILED: ("F", {"red": True}),
    Verdict.INCONCLUSIVE: ("I", {"yellow": True}),
    Verdict.NOT_APPLICABLE: ("n", {"blue": True}),
}


_MOST_ROUNDS = 1000


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hotfire")
    group.addoption("--target", type=Path, metavar="FILE", help="target file; default: the lab")
    group.addoption("--run-dir", type=Path, metavar="DIR", help="default: runs/<utc>/")
    group.addoption(
        "--suites",
        type=Path,
        metavar="DIR",
        help="a folder of your own whose suites/ and experiments/ hold units like those here",
    )
    group.addoption(
        "--only",
        action="append",
        default=[],
        metavar="ID_OR_AREA",
        help="run this requirement or area only (repeatable); the rest counts as skipped by you",
    )
    group.addoption(
        "--scope",
        choices=[scope.value for scope in Scope],
        default=Scope.FULL.value,
        help="smoke: minutes; core: what tells most of each area; what --only names is taken from"
        " everything",
    )
    group.addoption("--level", choices=["must", "should"], default="should", help="least level")
    group.addoption(
        "--sham",
        action="store_true",
        help="replace each fault's steps by nothing: every verdict must then be inconclusive",
    )
    group.addoption(
        "--ask",
        action="store_true",
        help="wait for the word of `hotfire gameday` before each fault",
    )
    group.addoption(
        "--repeat",
        type=_rounds,
        default=1,
        metavar="N",
        help="fire every fault N times, round by round; the worst verdict of each counts",
    )
    group.addoption(
        "--resume",
        action="store_true",
        help="go on with the run of --run-dir: what has a verdict there is not run again",
    )
    group.addoption("--keep-stack", action="store_true", help="leave the reference stack running")


def _rounds(text: str) -> int:
    """Return a number of rounds."""
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_ROUNDS):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of rounds from 1 to {_MOST_ROUNDS}"
        )
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(r): the requirement a case belongs to")
    config.addinivalue_line("markers", f"{READING}: a case that changes nothing in the cluster")
    config.stash[BLAME] = Blame()
    config.pluginmanager.register(Recorder(config), "hotfire-recorder")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[object]) -> None:
    refuse_side_by_side(config, len(specs))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist has no types
    node.workerinput.update(worker_input(node.config))


@pytest.fixture(scope="session")
def profile(pytestconfig: pytest.Config) -> TargetProfile:
    """What the operator says about the target."""
    return target_profile(pytestconfig)


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> RunDirectory:
    """Where this run is recorded."""
    return run_directory(pytestconfig)


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """The observations this case's verdict rests on."""
    case: Case | None = request.node.stash.get(CASE, None)
    if case is None:
        return Evidence(Path(request.getfixturevalue("tmp_path")))
    folder = run_directory(request.config).evidence_dir(case.requirement.id, case.name)
    case.evidence = Evidence(folder)
    return case.evidence


def pytest_exception_interact(call: pytest.CallInfo[Any], report: object) -> None:
    """Let a malformed requirement be the usage error it is, not a collection error."""
    if isinstance(report, pytest.CollectReport) and call.excinfo is not None:
        error = call.excinfo.value
        if isinstance(error, pytest.UsageError):
            raise error


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    select(config, items)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Take of the operator's own folder its suites alone: our experiments file takes the faults."""
    for own in unit_roots(config)[1:]:
        if own in collection_path.parents and collection_path.relative_to(own).parts[0] != "suites":
            return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Open the run before its first case."""
    nodeids = [case.nodeid for case in cases(session.items)]
    if nodeids and not session.config.getoption("collectonly"):
        write_plan(session.config, nodeids)
        known = session.config.stash[KNOWN]
        run_directory(session.config).update_info(
            requirements_known=len(known), faults_known=sum(known.values())
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note where the time of a case goes, its setup and teardown included."""
    if CASE not in item.stash:
        return (yield)
    with ledger() as noted:
        done = yield
    if spent := noted.entries():
        run_directory(item.config).append_event(
            Event(
                at_ns=time.time_ns(),
                kind="phase",
                what=TIME_SPENT,
                source=item.nodeid,
                data={"spent": redact(spent)},
            )
        )
    return done


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    case = item.stash.get(CASE, None)
    if case is None:
        return
    case.unclaimed = case.requirement.features - target_profile(item.config).claims
    if case.unclaimed:
        pytest.skip(f"target does not claim {', '.join(sorted(case.unclaimed))}")


def _show(excinfo: pytest.ExceptionInfo[BaseException] | None) -> None:
    """Make the words of an exception safe to print: an assertion often quotes the target."""
    error = excinfo.value if excinfo else None
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(
            shown(each, keep="\n\t") if isinstance(each, str) else each for each in error.args
        )
        error = error.__cause__


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> None:
    """Remember whose code a traceback may pass; pytest's own hook then sets it up."""
    request.config.stash[BLAME].note(fixturedef)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    _show(call.excinfo)
    report = yield
    case = item.stash.get(CASE, None)
    if case is None:
        return report
    case.seconds += call.duration
    error = call.excinfo.value if call.excinfo else None
    blame = item.config.stash[BLAME]
    for told in blame.troubles(error, str(report.when)):
        report.user_properties.append((TROUBLE, told.model_dump_json()))
    if report.when == "teardown":
        # In setup a case is undecided without what the run owes it, whoever is to blame.
        error, _ = blame.split(error)
    if (found := finding(case, report, error, unit_roots(item.config))) is not None:
        case.findings.append(found)
        # user_properties are what survives the trip from an xdist worker.
        report.user_properties.append(("verdict", found[0].value))
    if report.when == "teardown":
        result = case.result(run_directory(item.config))
        report.user_properties.append((RESULT, result.model_dump_json()))
    return report


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    properties = dict(getattr(report, "user_properties", []))
    said = properties.get("verdict")
    if said is None:
        trouble = (TOLD_TROUBLE, "R", ("TROUBLE OF THE RUN", {"yellow": True}))
        return trouble if TROUBLE in properties else None
    letter, markup = _WORDS[Verdict(str(said))]
    return str(said), letter, (str(said).upper(), markup)
