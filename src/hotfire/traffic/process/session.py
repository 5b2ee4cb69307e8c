"""One process's share of a load: a reactor thread, the pump that feeds it, and its rows."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import gevent
from gevent import monkey
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from hotfire.measure.history import Request
from hotfire.traffic.process.pump import WHOLE, ClosedPump, OpenPump, Pump, Share
from hotfire.traffic.record import gates
from hotfire.traffic.record.files import Ended, Present, Spell
from hotfire.traffic.record.fitness import Fitness, clock, resolve
from hotfire.traffic.wire.clock import Anchor
from hotfire.traffic.wire.fallback import Fallback
from hotfire.traffic.wire.orders import Order
from hotfire.traffic.wire.reactor import Reactor
from hotfire.traffic.workload.arrivals import Arrival
from hotfire.traffic.workload.plan import NANO, LoadPlan
from hotfire.traffic.workload.secret import Secrets

PRESENT_SECONDS = 1.0
DRAIN_POLL_SECONDS = 0.05
RECENT = 1000


class Session:
    """One process's share from its start to its last row.

    ``keep`` is called with every row, in the reactor's thread. ``t0_ns`` is monotonic.
    """

    def __init__(
        self,
        plan: LoadPlan,
        keep: Callable[[Request], None],
        *,
        anchor: Anchor,
        t0_ns: int,
        share: Share = WHOLE,
    ) -> None:
        self.plan, self.keep, self.anchor, self.t0_ns, self.share = plan, keep, anchor, t0_ns, share
        self.reported: deque[Request] = deque()
        self._told_ns, self._told_samples = t0_ns, (0, 0)
        self.received = self.censored = self.not_sent = self.dispatched = 0
        self.stopped_ns: int | None = None
        self.ended = Event()
        self._draining = False
        # The reactor's thread submits too where a slot becomes free; gevent's lock is not for it.
        self._lock = monkey.get_original("_thread", "allocate_lock")()
        self.pump: Pump = ClosedPump(self) if plan.mode == "closed" else OpenPump(self)
        self._secrets = Secrets(plan)
        self.fitness = Fitness.prepare(plan)
        self.addresses = resolve(*plan.address)
        self.reactor, self._thread = self._client()

    def _client(self) -> tuple[Reactor | Fallback, AsyncResult | gevent.Greenlet]:
        """Return what sends the requests, and what tells of its end."""
        plan, sink = self.plan, self.record
        if plan.client == "geventhttpclient":
            fallback = Fallback(
                plan, sink, addresses=self.addresses, anchor=self.anchor, start_ns=self.t0_ns,
                freed=self.pump.on_end,
            )  # fmt: skip
            return fallback, gevent.spawn(fallback.run)
        reactor = Reactor(
            plan,
            sink,
            addresses=self.addresses,
            anchor=self.anchor,
            start_ns=self.t0_ns,
            freed=self.pump.on_end,
            epoll=monkey.get_original("select", "epoll"),
        )
        return reactor, ThreadPool(1).spawn(reactor.run)

    def record(self, request: Request) -> None:
        """Keep one row; the reactor's thread calls this."""
        request = self._secrets.hidden(request)
        if self.share.worker:
            request = replace(request, worker=self.share.worker)
        self.keep(request)
        self.received += not request.censored
        self.censored += request.censored
        self.not_sent += not request.sent
        self.reported.append(request)

    @property
    def ahead_ns(self) -> int:
        """How long before its time a request is handed over."""
        return self.reactor.ahead_ns

    def submit(self, seq: int, sched_ns: int) -> None:
        """Hand one request to the reactor."""
        with self._lock:
            self.reactor.submit(Order(seq, sched_ns, seq))
            self.dispatched += 1

    def check(self) -> None:
        """Raise what the reactor's thread died of, if it did; look at the surroundings."""
        self.fitness.surroundings.look()
        if self._thread.ready():
            self._thread.get()

    def drain(self) -> None:
        """Stop sending, wait for what is in flight, keep the rest as censored rows."""
        if self._draining:
            self.ended.wait()
            return
        self._draining = True
        try:
            self._finish()
        finally:
            self.ended.set()

    def _finish(self) -> None:
        """Bring every planned request to its row."""
        self.stopped_ns = time.monotonic_ns()
        with self._lock:
            self.dispatched -= self.reactor.recall(self.stopped_ns)
        surroundings = self.fitness.surroundings
        surroundings.end_load()
        give_up = self.stopped_ns + self.plan.grace_seconds * NANO
        while self.reactor.busy and time.monotonic_ns() < give_up and not self._thread.ready():
            surroundings.look()
            gevent.sleep(DRAIN_POLL_SECONDS)
        self.reactor.abandon()
        self._thread.get()
        for arrival in self.pump.unsent(self.stopped_ns):
            self.record(self._censored(arrival))

    def _censored(self, arrival: Arrival) -> Request:
        sched_ns = self.anchor.stamp(self.t0_ns + arrival.offset_ns)
        prompt_id = arrival.prompt_id
        return Request(seq=arrival.seq, sched_ns=sched_ns, prompt_id=prompt_id, censored=True)

    def present(self) -> Present:
        """Return how fit this process is, as far as it can be told cheaply while it runs."""
        measured = self.fitness.measured(
            self.reactor.measured, dispatched=self.dispatched, last=RECENT
        )
        return Present(measured=measured, not_sent=self.not_sent, spell=self._spell())

    def _spell(self) -> Spell:
        """Return how fit this process was since this was asked last."""
        own = self.reactor.measured
        samples = len(own.lag_us), len(own.lateness_us)
        lags, late = self._told_samples
        lag_us, lateness_us = own.lag_us[lags : samples[0]], own.lateness_us[late : samples[1]]
        begun_ns, self._told_ns = self._told_ns, time.monotonic_ns()
        self._told_samples = samples
        return Spell(
            from_ns=self.anchor.stamp(begun_ns),
            to_ns=self.anchor.stamp(self._told_ns),
            worker=self.share.worker,
            measured=self.fitness.lately(own.reader, lag_us, lateness_us),
            lags=len(lag_us),
            lags_beyond=gates.beyond(lag_us, gates.lag_limit(self.plan.gates)),
            lateness_beyond=gates.beyond(lateness_us, self.plan.gates.lateness_p99_seconds),
        )

    def end(self) -> Ended:
        """Return the record that says all rows are there."""
        return Ended(
            planned_until_stop=self.dispatched + self.pump.unsent_count,
            received=self.received,
            censored=self.censored,
            not_sent=self.not_sent,
            stopped_at_ns=self.anchor.stamp(self.stopped_ns or 0),
            t0_ns=self.anchor.stamp(self.t0_ns),
            anchor=clock(self.anchor),
            measured=self.fitness.measured(self.reactor.measured, dispatched=self.dispatched),
        )
