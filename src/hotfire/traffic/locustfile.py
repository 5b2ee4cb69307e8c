"""The load as a locustfile: an open-loop pump of one user around one reactor thread.

It works by itself as well:

    locust --headless -f locustfile.py --plan plan.json --history history.jsonl

Nothing else of hotfire imports this module: importing Locust patches the whole process.
"""

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent import monkey
from gevent.threadpool import ThreadPool
from locust import User, constant, events, task

from hotfire.errors import HotfireError
from hotfire.history import Request
from hotfire.slo import percentile
from hotfire.traffic.arrivals import Arrival
from hotfire.traffic.files import ClockAnchor, Ended, Files, HistoryWriter, Measured, Started
from hotfire.traffic.plan import LoadPlan, schedule
from hotfire.traffic.reactor import NANO, Anchor, Order, Reactor

LEAD_SECONDS = 0.2
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1


class Load:
    """One load from its start to its last row."""

    def __init__(self, plan: LoadPlan, files: Files) -> None:
        self.plan, self.files = plan, files
        self.arrivals = schedule(plan)
        self.history = HistoryWriter(files.history)
        self.reported: deque[Request] = deque()
        self.received = self.censored = self.not_sent = 0
        self.dispatched = 0
        self.stopped_ns: int | None = None
        self.nice = renice(plan.nice)
        self.realtime = plan.realtime and go_realtime()
        self.gc_pauses = watch_gc()
        self.anchor = Anchor.now()
        self.t0_ns = self.anchor.monotonic_ns + round(LEAD_SECONDS * NANO)
        self.cpu = time.process_time()
        addresses = resolve(*plan.address)
        self.reactor = Reactor(
            plan,
            self.record,
            addresses=addresses,
            anchor=self.anchor,
            start_ns=self.t0_ns,
            epoll=monkey.get_original("select", "epoll"),
        )
        self.thread = ThreadPool(1).spawn(self.reactor.run)
        self.ended = gevent.event.Event()
        self.draining = False
        Started(
            t0_ns=self.anchor.stamp(self.t0_ns),
            pid=os.getpid(),
            address=addresses[0],
            anchor=clock(self.anchor),
        ).write(files.started)

    def record(self, request: Request) -> None:
        """Keep one row; the reactor's thread calls this."""
        self.history.append(request)
        self.received += not request.censored
        self.censored += request.censored
        self.not_sent += not request.sent
        self.reported.append(request)

    def pump(self) -> None:
        """Hand each arrival to the reactor at its time, whatever became of those before."""
        for arrival in self.arrivals:
            due = self.t0_ns + arrival.offset_ns
            while (left := due - time.monotonic_ns()) > 0:
                if self.stopped_ns is not None:
                    return
                self.check()
                gevent.sleep(min(left / NANO, POLL_SECONDS))
            if self.stopped_ns is not None:
                return
            self.reactor.submit(self.order(arrival))
            self.dispatched += 1

    def order(self, arrival: Arrival) -> Order:
        """Return what the reactor is to send."""
        return Order(arrival.seq, self.t0_ns + arrival.offset_ns, arrival.prompt_id)

    def check(self) -> None:
        """Raise what the reactor's thread died of, if it did."""
        if self.thread.ready():
            self.thread.get()

    def drain(self) -> None:
        """Stop sending, wait for what is in flight, write the rest as censored and the end."""
        if self.draining:
            self.ended.wait()
            return
        self.draining = True
        try:
            self.finish()
        finally:
            self.ended.set()

    def finish(self) -> None:
        """Bring every planned request to its row."""
        self.stopped_ns = time.monotonic_ns()
        give_up = self.stopped_ns + self.plan.grace_seconds * NANO
        while self.reactor.busy and time.monotonic_ns() < give_up and not self.thread.ready():
            gevent.sleep(POLL_SECONDS)
        self.reactor.abandon()
        self.thread.get()
        planned = [a for a in self.arrivals if self.t0_ns + a.offset_ns <= self.stopped_ns]
        for arrival in planned[self.dispatched :]:
            sched_ns = self.anchor.stamp(self.t0_ns + arrival.offset_ns)
            self.record(Request(seq=arrival.seq, sched_ns=sched_ns, censored=True))
        self.history.close()
        self.write_end(planned=len(planned))

    def write_end(self, *, planned: int) -> None:
        """Write the record that says all rows are there."""
        stopped = self.stopped_ns or 0
        Ended(
            planned_until_stop=planned,
            received=self.received,
            censored=self.censored,
            not_sent=self.not_sent,
            stopped_at_ns=self.anchor.stamp(stopped),
            t0_ns=self.anchor.stamp(self.t0_ns),
            anchor=clock(self.anchor),
            measured=self.measured(),
        ).write(self.files.ended)

    def measured(self) -> Measured:
        """Return the figures of the gates."""
        wall = (time.monotonic_ns() - self.anchor.monotonic_ns) / NANO
        lag = seconds(self.reactor.measured.lag_us)
        lateness = seconds(self.reactor.measured.lateness_us)
        return Measured(
            dispatched=self.dispatched,
            lag_p50_seconds=percentile(lag, 50),
            lag_p99_seconds=percentile(lag, 99),
            lag_max_seconds=max(lag),
            lateness_p50_seconds=percentile(lateness, 50),
            lateness_p99_seconds=percentile(lateness, 99),
            lateness_max_seconds=max(lateness),
            cpu_ratio=(time.process_time() - self.cpu) / wall,
            gc_pause_max_seconds=max(self.gc_pauses),
            nice=self.nice,
            realtime=self.realtime,
        )


def seconds(values: Any) -> list[float]:  # noqa: ANN401 - array.array is not generic at run time
    """Return microseconds as seconds; never empty, since a gate needs a figure."""
    return [value * 1e-6 for value in values] or [0.0]


def clock(anchor: Anchor) -> ClockAnchor:
    """Return the anchor with the drift until now."""
    drift = time.time_ns() - anchor.stamp(time.monotonic_ns())
    return ClockAnchor(epoch_ns=anchor.epoch_ns, monotonic_ns=anchor.monotonic_ns, drift_ns=drift)


def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """Return every address of a name, the preferred one first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), int(address[1])) for *_, address in found]


def renice(nice: int) -> int:
    """Set the priority if permitted; return the one in force."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    return os.getpriority(os.PRIO_PROCESS, 0)


def go_realtime() -> bool:
    """Ask for round-robin real-time scheduling; return whether it is in force."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    return os.sched_getscheduler(0) == os.SCHED_RR


def watch_gc() -> list[float]:
    """Keep the start-up's objects out of collections, and the longest pauses in a list."""
    gc.collect()
    gc.freeze()
    pauses = [0.0]
    begun = [0.0]

    def note(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            begun[0] = time.perf_counter()
        else:
            pauses[0] = max(pauses[0], time.perf_counter() - begun[0])

    gc.callbacks.append(note)
    return pauses


def die_with(parent: int) -> None:
    """End with the process that started us, however it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def fire(environment: Any, name: str, request: Request) -> None:  # noqa: ANN401 - Locust's
    """Tell Locust of one request, for its statistics and its web page."""
    end = request.end_ns or request.sched_ns
    environment.events.request.fire(
        request_type="LLM",
        name=name,
        response_time=(end - request.sched_ns) / 1e6,
        response_length=request.n_out or 0,
        exception=str(request.error_class) if request.error_class else None,
        context={},
    )


def add_options(parser: Any) -> None:  # noqa: ANN401 - Locust's
    """Add the options of this locustfile."""
    parser.add_argument("--plan", env_var="HOTFIRE_PLAN", help="load plan, a JSON file")
    parser.add_argument("--history", env_var="HOTFIRE_HISTORY", help="JSONL file to append to")
    parser.add_argument("--parent", type=int, default=0, help="process to end with")


def on_start(environment: Any, **_: Any) -> None:  # noqa: ANN401 - Locust's
    """Prepare the load before the pump user starts; end the process where that is not possible."""
    options = environment.parsed_options
    try:
        if options.parent:
            die_with(options.parent)
        plan = LoadPlan.read(Path(options.plan))
        environment.hotfire_load = Load(plan, Files(Path(options.history)))
    except (HotfireError, OSError, TypeError) as error:
        # Locust would log it and go on without a load.
        sys.stderr.write(f"no load: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    gevent.spawn(tell_locust, environment)


def tell_locust(environment: Any) -> None:  # noqa: ANN401 - Locust's
    """Fire one event per finished request, off the pump's path."""
    load: Load = environment.hotfire_load
    while not load.ended.is_set():
        fire_all(environment, load)
        gevent.sleep(4 * POLL_SECONDS)


def fire_all(environment: Any, load: Load) -> None:  # noqa: ANN401 - Locust's
    """Fire what has been reported since the last call."""
    while load.reported:
        request = load.reported.popleft()
        if not request.censored:
            fire(environment, load.plan.path, request)


def on_stop(environment: Any, **_: Any) -> None:  # noqa: ANN401 - Locust's
    """Drain before Locust kills its users; SIGTERM, SIGINT and the plan's end all come here."""
    load: Load | None = getattr(environment, "hotfire_load", None)
    if load is None:
        return
    load.drain()
    fire_all(environment, load)
    # Failed requests are the target's matter; this process did what it should.
    environment.process_exit_code = 0


hooks: Any = events
hooks.init_command_line_parser.add_listener(add_options)
hooks.test_start.add_listener(on_start)
hooks.test_stopping.add_listener(on_stop)
hooks.quitting.add_listener(on_stop)


class Pump(User):
    """The one user: it walks the plan."""

    fixed_count = 1
    wait_time = constant(0)

    @task
    def walk(self) -> None:
        """Walk the plan to its end, then end the test."""
        load: Load = self.environment.hotfire_load
        try:
            load.pump()
        finally:
            quit_later: Callable[[], None] = self.environment.runner.quit
            gevent.spawn(quit_later)
        gevent.sleep(load.plan.grace_seconds + load.plan.deadline_seconds)
