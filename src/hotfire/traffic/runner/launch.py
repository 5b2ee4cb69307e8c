"""Starts, watches and stops the load process; never imports Locust, which would patch this one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from pydantic import ValidationError

from hotfire.errors import HarnessError, HistoryError, InstrumentError
from hotfire.measure.history import Request, count, parse_lines
from hotfire.traffic.process.join import LOCUSTFILE
from hotfire.traffic.process.seal import VARIABLE, load_token
from hotfire.traffic.record import gates
from hotfire.traffic.record.files import Ended, Files, Started
from hotfire.traffic.record.gates import GateResult
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.waiting import until

START_SECONDS = 30.0
MARGIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """How a load ended. ``planned`` counts until the stop."""

    planned: int
    received: int
    censored: int
    stopped_at_ns: int | None
    instrument: tuple[GateResult, ...]

    @property
    def valid(self) -> bool:
        """Whether every gate holds."""
        return bool(self.instrument) and all(gate.holds for gate in self.instrument)

    def check(self) -> None:
        """Accept the measurement, or say why not.

        Raises:
            InstrumentError: a gate tripped.
        """
        gates.check(self.instrument)


class RunningLoad:
    """A load process. Stop it, or let its plan end; it also ends with this process."""

    def __init__(
        self, plan: LoadPlan, files: Files, log: Path, process: subprocess.Popen[bytes]
    ) -> None:
        self.plan, self.files, self.log = plan, files, log
        self._process = process
        self._started: Started | None = None
        self._rows: list[Request] = []
        self._read_to = 0
        self._report: LoadReport | None = None

    def wait_started(self, within_seconds: float | None = None) -> None:
        """Wait until the first arrival is about to be due; default: 30 s, and for the workers.

        Raises:
            InstrumentError: the process died or did not get so far; the message shows its log.
        """
        joining = self.plan.fleet.join_seconds if distributed(self.plan) else 0.0
        try:
            until(
                lambda: self.files.started.exists() or not self.alive(),
                within_seconds=within_seconds or START_SECONDS + joining,
                what="the load process to start",
                poll_seconds=0.05,
            )
            self._started = Started.model_validate_json(self.files.started.read_bytes())
        except (HarnessError, OSError, ValidationError) as error:
            raise InstrumentError(f"the load did not start; {self._log_tail()}") from error

    @property
    def started(self) -> Started:
        """What the load process wrote at its start; waits for it if it has to."""
        if self._started is None:
            self.wait_started()
        if self._started is None:
            raise InstrumentError("the load did not start")
        return self._started

    @property
    def t0_ns(self) -> int:
        """Epoch time of the plan's offset 0; waits for the start if it has to."""
        return self.started.t0_ns

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def rows(self) -> list[Request]:
        """Return the rows written so far, in order of their end.

        Requests in flight have none yet: while the load runs, ``recovery.settled`` is the part
        that is no selection of the fast ones. A row that contradicts itself is left out; in the
        report it trips a gate.
        """
        for line in self._whole_lines(self._read_to):
            self._read_to += len(line)
            self._rows += _sound(line)
        return list(self._rows)

    def stream(self) -> Iterator[Request]:
        """Yield what ``rows`` returns, from the file: a long load's rows fill no memory."""
        for line in self._whole_lines(0):
            yield from _sound(line)

    def _whole_lines(self, start: int) -> Iterator[bytes]:
        """Yield the lines from a place in the history on; the last may be half written."""
        if not self.files.history.exists():
            return
        with self.files.history.open("rb") as file:
            file.seek(start)
            yield from takewhile(lambda line: line.endswith(b"\n"), file)

    def wait_finished(self, within_seconds: float) -> LoadReport:
        """Wait for the plan to end by itself, and report.

        Raises:
            HarnessError: it did not end in time; it still runs then.
        """
        until(lambda: not self.alive(), within_seconds=within_seconds, what="the load plan to end")
        return self.stop()

    def stop(self, within_seconds: float | None = None) -> LoadReport:
        """End the load, let requests in flight finish, and report; later calls return the same.

        A process that does not end in time (default: its grace and 15 s) is killed, and its gate
        says so. A tripped gate is no exception here: see ``LoadReport.check``.
        """
        if self._report is None:
            # A master waits for its workers' last rows as well.
            margin = 5 * MARGIN_SECONDS if distributed(self.plan) else MARGIN_SECONDS
            limit = within_seconds or self.plan.grace_seconds + margin
            forced = self._end_process(limit)
            self._report = self._read_report(forced)
        return self._report

    def kill(self) -> None:
        """End the process at once, rows in flight lost."""
        self._process.kill()
        self._process.wait()

    def _end_process(self, within_seconds: float) -> bool:
        """Return whether it had to be killed."""
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=within_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return True
        return False

    def _read_report(self, forced: bool) -> LoadReport:
        try:
            ended = Ended.model_validate_json(self.files.ended.read_bytes())
        except (OSError, ValidationError):
            return self._report_of_the_dead(forced)
        rows, unsound = 0, ""
        try:
            rows = count(self.files.history) if self.files.history.exists() else 0
        except HistoryError as error:
            unsound = str(error)
        results = gates.judge(ended, self.plan.gates, rows=rows, unsound=unsound)
        gates.write(self.files.instrument, results, ended.measured)
        return LoadReport(
            planned=ended.planned_until_stop,
            received=ended.received,
            censored=ended.censored,
            stopped_at_ns=ended.stopped_at_ns,
            instrument=tuple(results),
        )

    def _report_of_the_dead(self, forced: bool) -> LoadReport:
        how = "was killed, too slow to end" if forced else f"exited {self._process.returncode}"
        result = gates.dead(f"the load process {how}; {self._log_tail()}")
        gates.write(self.files.instrument, [result], None)
        received = sum(1 for _ in self.stream())
        return LoadReport(
            planned=received, received=received, censored=0, stopped_at_ns=None,
            instrument=(result,),
        )  # fmt: skip

    def _log_tail(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        last = next((line for line in reversed(lines) if line.strip()), "nothing")
        return f"the last line of {self.log} is: {last.strip()[:300]}"


def _sound(line: bytes) -> list[Request]:
    """Return the row of a line; none if it contradicts itself."""
    try:
        return parse_lines(line.decode(errors="replace"))
    except HistoryError:
        return []


def start(
    plan: LoadPlan, *, history: Path, log: Path, network_namespace: str | None = None
) -> RunningLoad:
    """Start a load in its own process, and return at once.

    The plan is written beside the history with a nonce of its own, so that no two loads share a
    prompt prefix. The process is killed with the thread that called this.

    Raises:
        InstrumentError: the process could not be started, or the history exists already.
        ProfileError: a file of the plan cannot be read, or the plan holds no request.
    """
    files = Files(history)
    if history.exists():
        raise InstrumentError(f"{history} exists; each load needs a history of its own")
    history.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    plan = plan.as_started()
    files.write_plan(plan.model_dump_json(indent=1))
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command(plan, files, network_namespace=network_namespace),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=history.parent,
                env=environment(plan),
                # A terminal's interrupt is for us; we stop the load in order.
                start_new_session=True,
            )
    except OSError as error:
        raise InstrumentError(f"the load process could not be started: {error}") from error
    return RunningLoad(plan, files, log, process)


@contextmanager
def running(
    plan: LoadPlan, *, history: Path, log: Path, network_namespace: str | None = None
) -> Iterator[RunningLoad]:
    """Run a load for the length of a block; whatever happens in it, the process ends."""
    load_ = start(plan, history=history, log=log, network_namespace=network_namespace)
    try:
        load_.wait_started()
        yield load_
        load_.stop()
    finally:
        if load_.alive():
            load_.kill()


def environment(plan: LoadPlan) -> dict[str, str] | None:
    """Return the environment of the load process; None: this process's own.

    By the token in it the master of a distributed load and its workers know each other.
    """
    return {**os.environ, VARIABLE: load_token()} if distributed(plan) else None


def command(plan: LoadPlan, files: Files, *, network_namespace: str | None) -> list[str]:
    """Return the argument list of the load process."""
    inside = ["nsenter", f"--net=/run/netns/{network_namespace}"] if network_namespace else []
    return [
        *inside,
        *(sys.executable, "-P", "-m", "locust", "--headless", "--locustfile", str(LOCUSTFILE)),
        *("--users", str(plan.workers), "--spawn-rate", str(plan.workers), "--only-summary"),
        *("--plan", str(files.plan.resolve()), "--history", str(files.history.resolve())),
        *("--parent", str(os.getpid())),
        *(master_options(plan) if distributed(plan) else []),
    ]


def distributed(plan: LoadPlan) -> bool:
    """Return whether the load has a master and workers."""
    return plan.workers > 1 or plan.fleet.at == "elsewhere"


def master_options(plan: LoadPlan) -> list[str]:
    """Return the options that make Locust wait for workers and lead them."""
    fleet = plan.fleet
    return [
        *("--master", "--master-bind-host", fleet.bind_host),
        *("--master-bind-port", str(fleet.bind_port)),
        *("--expect-workers", str(plan.workers)),
        *("--expect-workers-max-wait", str(round(fleet.join_seconds))),
    ]
