"""The load as a locustfile: Locust starts, distributes, shows and stops; the pump asks.

It works by itself as well, alone or distributed, with Locust's web page or without:

    locust --headless -f locustfile.py --plan plan.json --history history.jsonl
    locust --master --expect-workers 2 -f locustfile.py --plan plan.json --history history.jsonl
    locust --worker --master-host HOST -f locustfile.py

The plan of a master whose workers come from other machines has fleet.at = "elsewhere"; it and each
worker need the same HOTFIRE_LOAD_TOKEN in their environment, by which they know each other.

Nothing else of hotfire imports this module: importing Locust patches the whole process.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from locust import User, constant, events, task

from hotfire.errors import HotfireError, ProfileError
from hotfire.measure.history import Request
from hotfire.parent import end_with
from hotfire.traffic.process import bus, join
from hotfire.traffic.process.alone import Alone
from hotfire.traffic.process.master import Master
from hotfire.traffic.process.pump import TURN_SECONDS, TimeSlice
from hotfire.traffic.process.seal import REMEDY, VARIABLE, given_token, load_token
from hotfire.traffic.process.worker import Worker
from hotfire.traffic.record.files import Files
from hotfire.traffic.workload.plan import LoadPlan

REPORT_SECONDS = 0.5
LAST_MESSAGE_SECONDS = 0.2


class Process:
    """What this process is to the load: all of it, its master or one of its workers."""

    def __init__(self, environment: Any) -> None:  # noqa: ANN401 - Locust's
        self.environment = environment
        self.options = environment.parsed_options
        self.load: Alone | Master | Worker | None = None
        if self.options.parent and not end_with(self.options.parent):
            os._exit(1)
        if self.options.worker:
            require_token("a worker")
            self.load = worker = Worker(environment.runner, give_up)
            gevent.spawn(self.tell_locust, worker)
            environment.events.quit.add_listener(on_quit)
        elif self.options.master:
            self.start_workers(self.plan())

    def plan(self) -> LoadPlan:
        """Return the plan with the contents of its files."""
        if not self.options.plan or not self.options.history:
            raise ProfileError("--plan and --history are required; a plan is a JSON file")
        return LoadPlan.read(Path(self.options.plan)).as_started()

    def start_workers(self, plan: LoadPlan) -> None:
        """Start the workers of this machine; they end with this process."""
        if plan.fleet.at == "elsewhere":
            require_token('fleet.at "elsewhere"')
            return
        port = self.environment.runner.server.port
        for _ in range(plan.workers):
            options = ("--master-host", "127.0.0.1", "--master-port", str(port))
            subprocess.Popen(
                join.command(*options, "--parent", str(os.getpid())),
                env={**os.environ, VARIABLE: load_token()},
            )

    def start(self) -> None:
        """Begin the load; Locust's page may do so again after an end."""
        if self.options.worker:
            return
        plan, files = self.plan(), Files(unused(Path(self.options.history)))
        if not files.plan.exists():
            files.write_plan(plan.model_dump_json(indent=1))
        if self.options.master:
            master = Master(self.environment.runner, plan, files, leave=self.leave_soon)
            self.load = master
            master.start()
        else:
            self.load = alone = Alone(plan, files, self.leave_soon)
            gevent.spawn(self.tell_locust, alone)

    def stop(self) -> None:
        """Drain before Locust kills its users: SIGTERM, SIGINT and the plan's end come here."""
        if self.load:
            self.load.stop()
            if not isinstance(self.load, Master):
                self.fire_all(self.load.reports())
            # Failed requests are the target's matter; this process did what it should.
            self.environment.process_exit_code = 0

    def leave_soon(self) -> None:
        """End the test from a greenlet that its end does not wait for."""
        runner = self.environment.runner
        gevent.spawn(runner.stop if self.environment.web_ui else runner.quit)

    def tell_locust(self, load: Alone | Worker) -> None:
        """Fire one event per finished request, off the pump's path."""
        while self.load is load:
            self.fire_all(load.reports())
            gevent.sleep(REPORT_SECONDS)

    def fire_all(self, requests: Iterator[Request]) -> None:
        """Tell Locust of requests, for its statistics and its web page; others get their turn."""
        shift = TimeSlice()
        for request in requests:
            if not request.censored:
                end = request.end_ns or request.sched_ns
                self.environment.events.request.fire(
                    request_type="LLM",
                    name=request.tenant or "requests",
                    response_time=(end - request.sched_ns) / 1e6,
                    response_length=request.n_out or 0,
                    exception=str(request.error_class) if request.error_class else None,
                    context={},
                )
            # Not before: nothing may be in hand when another greenlet ends the process.
            if shift.over:
                gevent.sleep(TURN_SECONDS)
                shift = TimeSlice()


def require_token(who: str) -> None:
    """Refuse to talk to other machines without a token that they know too.

    Raises:
        ProfileError: this process was given none.
    """
    if given_token() is None:
        raise ProfileError(f"{who} needs {VARIABLE}: {REMEDY}")


def unused(history: Path) -> Path:
    """Return this path, or the next one like it that does not exist."""
    candidate, number = history, 1
    while candidate.exists():
        number += 1
        candidate = history.with_stem(f"{history.stem}-{number}")
    return candidate


def add_options(parser: Any) -> None:  # noqa: ANN401 - Locust's
    """Add the options of this locustfile."""
    parser.add_argument("--plan", env_var="HOTFIRE_PLAN", help="load plan, a JSON file")
    parser.add_argument("--history", env_var="HOTFIRE_HISTORY", help="JSONL file to append to")
    parser.add_argument("--parent", type=int, default=0, help="process to end with")


def on_init(environment: Any, **_: Any) -> None:  # noqa: ANN401 - Locust's
    """Become what the options say."""
    try:
        environment.hotfire = Process(environment)
    except (HotfireError, OSError) as error:
        give_up(error)


def on_start(environment: Any, **_: Any) -> None:  # noqa: ANN401 - Locust's
    """Begin the load; end the process where that is not possible."""
    try:
        environment.hotfire.start()
    except (HotfireError, OSError, TypeError) as error:
        give_up(error)


def give_up(why: object) -> None:
    """End the process at once; Locust would log it and go on without a load."""
    sys.stderr.write(f"no load: {why}\n")
    sys.stderr.flush()
    os._exit(1)


def on_stop(environment: Any, **_: Any) -> None:  # noqa: ANN401 - Locust's
    """End the load in order."""
    if process := getattr(environment, "hotfire", None):
        process.stop()


def on_quit(**_: Any) -> None:  # noqa: ANN401 - Locust's
    """Let the last statistics leave: Locust hands them to a thread that ends with the process."""
    gevent.sleep(LAST_MESSAGE_SECONDS)


bus.install()
hooks: Any = events
hooks.init_command_line_parser.add_listener(add_options)
hooks.init.add_listener(on_init)
hooks.test_start.add_listener(on_start)
hooks.test_stopping.add_listener(on_stop)
hooks.quitting.add_listener(on_stop)


class Resident(User):
    """The user Locust wants to see: idle, since the pump asks on its own clock."""

    wait_time = constant(3600)

    @task
    def stay(self) -> None:
        """Do nothing until the next wait."""
