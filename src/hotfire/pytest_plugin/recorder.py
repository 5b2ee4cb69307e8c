"""The record of a session: results as they come, the statement of conformance at the end."""

import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hotfire.pytest_plugin.blame import BLAME, said
from hotfire.pytest_plugin.case import UNIT_FOLDERS, Case
from hotfire.pytest_plugin.session import RUN, earlier_results, run_directory
from hotfire.requirement import Scope
from hotfire.rundir import Event, Result
from hotfire.shown import shown
from hotfire.verdict import Conformance, Verdict, conformance

CASE = pytest.StashKey[Case]()
RESULT = "hotfire_result"
TROUBLE = "hotfire_trouble"
TOLD_TROUBLE = "trouble of the run"
_TROUBLES = "hotfire_troubles"

# Bare pytest owns 2 to 5.
_EXIT_STATUS = {
    Conformance.CONFORMANT: 0,
    Conformance.NONCONFORMANT: 1,
    Conformance.INCONCLUSIVE: 6,
}


def cases(items: list[pytest.Item]) -> Iterator[Case]:
    """Yield the case of every item that has one."""
    for item in items:
        if (case := item.stash.get(CASE, None)) is not None:
            yield case


def asked_scope(config: pytest.Config) -> Scope:
    """Return how much was asked for; what was named is taken from everything."""
    return Scope.FULL if config.getoption("only") else Scope(config.getoption("scope"))


class Recorder:
    """A plugin of its own, so that it may keep what it has heard.

    Under xdist the controller writes; a worker only sends what was deselected.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_worker = hasattr(config, "workerinput")
        self._results: dict[str, Result] = {}
        self._left_out: list[Result] = []
        self._others_failed = False
        self._statement: Conformance | None = None

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._left_out += [case.not_run("not selected", by_operator=True) for case in cases(items)]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if not self._is_worker and nodeid.partition("/")[0] in UNIT_FOLDERS:
            event = Event(at_ns=time.time_ns(), kind="phase", what="case-started", source=nodeid)
            run_directory(self._config).append_event(event)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Tell that what comes now is the run's own end."""
        if nextitem is None and CASE in item.stash:
            event = Event(at_ns=time.time_ns(), kind="phase", what="taking-down", source="hotfire")
            run_directory(self._config).append_event(event)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._is_worker:
            return
        properties = dict(report.user_properties)
        for name, text in report.user_properties:
            if name == TROUBLE:
                self._write_trouble(Result.model_validate_json(str(text)))
        if RESULT in properties:
            self._write(Result.model_validate_json(str(properties[RESULT])))
        elif report.failed and "verdict" not in properties:
            # A test outside the units, or a worker that died under one of them.
            self._others_failed = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - xdist has no types
        sent = getattr(node, "workeroutput", {}).get("hotfire_left_out", [])
        if not self._left_out:
            self._left_out = [Result.model_validate_json(text) for text in sent]
        for text in getattr(node, "workeroutput", {}).get(_TROUBLES, []):
            self._write_trouble(Result.model_validate_json(text))

    # Before pytest's own finish, which tears the last fixtures down and may be interrupted there;
    # within the terminal's, which then still tells what came of it.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, object, object]:
        sent: dict[str, list[str]] = getattr(session.config, "workeroutput", {})
        is_ours = RUN in session.config.stash
        if self._is_worker:
            sent["hotfire_left_out"] = [result.model_dump_json() for result in self._left_out]
        elif is_ours:
            self._finish(session, exitstatus)
        try:
            return (yield)
        except Exception as error:
            if not is_ours:
                raise
            told = session.config.stash[BLAME].troubles(error, "teardown")
            told = told or [Result.of_run("end", said(error))]
            if self._is_worker:
                sent[_TROUBLES] = [one.model_dump_json() for one in told]
                return None
            for one in told:
                self._write_trouble(one)
            self._conclude(session, ended_early=exitstatus not in {0, 1})
            return None

    def _finish(self, session: pytest.Session, exitstatus: int) -> None:
        for result in [*self._left_out, *self._unfinished(session)]:
            self._write(result)
        ended_early = exitstatus not in {0, 1}
        if ended_early and self._stated() is Conformance.CONFORMANT:
            why = f"pytest ended early, with status {int(exitstatus)}"
            self._write_trouble(Result.of_run("end", why))
        self._conclude(session, ended_early=ended_early)
        run = run_directory(session.config)
        notes = run.info().notes + ((str(session.shouldstop),) if session.shouldstop else ())
        run.update_info(notes=notes)

    def _conclude(self, session: pytest.Session, *, ended_early: bool) -> None:
        self._statement = statement = self._stated()
        run = run_directory(session.config)
        scope = asked_scope(self._config)
        run.update_info(finished_at=datetime.now(UTC), conformance=statement, scope=scope)
        if not ended_early:
            session.exitstatus = _EXIT_STATUS[statement] or int(self._others_failed)

    def _stated(self) -> Conformance:
        earlier = {one.nodeid: one for one in earlier_results(self._config)}
        results = (earlier | self._results).values()
        return conformance((r.level, r.verdict, r.skipped_by_operator) for r in results)

    def _unfinished(self, session: pytest.Session) -> Iterator[Result]:
        for case in cases(getattr(session, "items", [])):
            if case.nodeid not in self._results:
                yield case.not_run("the run ended before it")

    def _write(self, result: Result) -> None:
        self._results[result.nodeid] = result
        run_directory(self._config).append_result(result)

    def _write_trouble(self, told: Result) -> None:
        """Write trouble of the run, once for each fixture: every case it fails tells it again."""
        if told.nodeid not in self._results:
            self._write(told)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._statement is None:
            return
        for kind in (Verdict.INCONCLUSIVE.value, TOLD_TROUBLE):
            for report in terminalreporter.stats.get(kind, []):
                if report.failed:
                    terminalreporter.write_sep("_", f"{kind}: {report.nodeid}")
                    terminalreporter.write_line(shown(report.longreprtext, keep="\n\t"))
        terminalreporter.write_sep("=", f"hotfire: {self._statement}")
        for result in sorted(self._results.values(), key=lambda r: -r.verdict.weight):
            if result.verdict is not Verdict.PASSED:
                subject = f"{result.verdict} {result.level} {result.id} {result.case}"
                terminalreporter.write_line(shown(f"{subject}: {result.reason}"))
        terminalreporter.write_line(f"run: {run_directory(self._config).root}")
