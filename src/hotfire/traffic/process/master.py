"""The master of a distributed load: brings the workers to one clock and their rows to one file."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import RLock

from hotfire.errors import InstrumentError
from hotfire.traffic.process import messages as say
from hotfire.traffic.process.member import Member
from hotfire.traffic.process.session import PRESENT_SECONDS
from hotfire.traffic.record.files import Ended, Files, HistoryWriter, Present, Started, append_spell
from hotfire.traffic.record.fitness import clock, resolve, worst
from hotfire.traffic.wire.clock import Anchor
from hotfire.traffic.workload.plan import NANO, LoadPlan, arrivals_of

PINGS = 25
PING_SECONDS = 1.0
"""Longest wait for one answer; a lost one is not asked for again."""
LEAD_SECONDS = 0.5
POLL_SECONDS = 0.05
LAST_WORD_SECONDS = 60.0


class Master:
    """One distributed load; ``leave`` is called when every worker has ended."""

    def __init__(
        self,
        runner: Any,  # noqa: ANN401 - Locust's
        plan: LoadPlan,
        files: Files,
        *,
        leave: Callable[[], None],
    ) -> None:
        self._runner, self._plan, self._files, self._leave = runner, plan, files, leave
        self._anchor = Anchor.now()
        self._history = HistoryWriter(files.history)
        self._members: dict[str, Member] = {}
        self._t0_ns: int | None = None
        self._stopped_ns: int | None = None
        self._lock, self._done = RLock(), Event()
        for kind, listener in {
            say.PONG: self._on_pong,
            say.READY: self._on_ready,
            say.UNABLE: self._on_unable,
            say.ROWS: self._on_rows,
            say.PRESENT: self._on_present,
            say.ENDED: self._on_ended,
        }.items():
            runner.register_message(kind, listener)

    def start(self) -> None:
        """Bring every worker that has joined to the start, and write that it has begun.

        Raises:
            InstrumentError: one of them cannot take part, or fell silent.
        """
        self.admit([client.id for client in self._runner.clients.ready][: self._plan.workers])
        text = self._plan.model_dump_json()
        for member in self._members.values():
            self._measure_clock(member)
            for part in say.parts(text):
                self._send(member, say.PLAN, part)
        self._wait_ready()
        self._t0_ns = t0_ns = self._now() + round(LEAD_SECONDS * NANO)
        workers = len(self._members)
        for member in self._members.values():
            go = say.Go(
                worker=member.number, workers=workers, t0_epoch_ns=t0_ns, zero_ns=member.zero_ns
            )
            self._send(member, say.GO, go)
        Started(
            t0_ns=t0_ns,
            pid=os.getpid(),
            address=resolve(*self._plan.address)[0],
            anchor=clock(self._anchor),
            workers=tuple(member.record() for member in self._members.values()),
        ).write(self._files.started)
        gevent.spawn(self._watch)
        gevent.spawn(self._tell)

    def admit(self, client_ids: Sequence[str]) -> None:
        """Take these clients of Locust's as the workers, numbered in their order."""
        self._members = {each: Member(each, number) for number, each in enumerate(client_ids)}

    def stop(self) -> None:
        """End the load before its plan does, and wait until its end is written."""
        if self._t0_ns is None:
            return
        if self._stopped_ns is None:
            self._stopped_ns = self._now()
            for member in self._members.values():
                if not member.over:
                    self._send(member, say.STOP, None)
        if not self._done.wait(self._plan.grace_seconds + LAST_WORD_SECONDS):
            self._finish()

    # The wait for the workers.

    def _wait_ready(self) -> None:
        limit = self._plan.fleet.join_seconds
        until = time.monotonic() + limit
        while waiting := [member for member in self._members.values() if not member.ready]:
            for member in waiting:
                if self._gone(member):
                    why = member.unable or "it fell silent"
                    raise InstrumentError(f"{member.name} cannot take part: {why}")
            if time.monotonic() > until:
                raise InstrumentError(f"{waiting[0].name} did not take the plan in {limit:g} s")
            gevent.sleep(POLL_SECONDS)

    def _watch(self) -> None:
        while not all(map(self._left, self._members.values())):
            gevent.sleep(POLL_SECONDS)
        self._finish()
        if self._stopped_ns is None:
            self._leave()

    def _tell(self) -> None:
        members = list(self._members.values())
        while not self._done.is_set():
            if told := [member.present for member in members if member.present]:
                lost = [m for m in members if m.lost(asked=self._stopped_ns) and self._left(m)]
                Present(
                    measured=worst([one.measured for one in told]),
                    not_sent=sum(one.not_sent for one in told),
                    lost_workers=tuple(member.name for member in lost),
                ).write(self._files.present)
            gevent.sleep(PRESENT_SECONDS)

    def _left(self, member: Member) -> bool:
        return member.over is not None or self._gone(member)

    def _gone(self, member: Member) -> bool:
        """Return whether nothing more will come from a worker."""
        clients = self._runner.clients
        known = {client.id for client in clients.all} - {client.id for client in clients.missing}
        return member.unable is not None or member.client_id not in known

    # The end.

    def _finish(self) -> None:
        with self._lock:
            if self._done.is_set():
                return
            for member in self._members.values():
                if not self._gone(member):
                    self._measure_clock(member)
            self._history.close()
            if ends := [member.over.ended for member in self._members.values() if member.over]:
                self._end(ends).write(self._files.ended)
                self._files.present.unlink(missing_ok=True)
            self._done.set()

    def _end(self, ends: list[Ended]) -> Ended:
        members = list(self._members.values())
        silent = [member for member in members if not member.over]
        return Ended(
            planned_until_stop=sum(end.planned_until_stop for end in ends)
            + sum(map(self._planned, silent)),
            received=sum(end.received for end in ends) + sum(member.rows for member in silent),
            censored=sum(end.censored for end in ends),
            not_sent=sum(end.not_sent for end in ends),
            stopped_at_ns=self._stopped_ns or max(end.stopped_at_ns for end in ends),
            t0_ns=self._t0_ns or 0,
            anchor=clock(self._anchor),
            measured=worst([end.measured for end in ends]),
            workers=tuple(member.record() for member in members),
            lost_workers=tuple(m.name for m in members if m.lost(asked=self._stopped_ns)),
        )

    def _planned(self, member: Member) -> int:
        """Return how many requests a lost worker owed, as far as that is known."""
        if self._plan.mode == "closed":
            return member.rows
        until = (self._stopped_ns or self._now()) - (self._t0_ns or 0)
        share = arrivals_of(self._plan, worker=member.number, workers=len(self._members))
        return sum(1 for arrival in share if arrival.offset_ns <= until)

    # Messages.

    def _send(self, member: Member, kind: str, message: say.Message | None) -> None:
        self._runner.send_message(kind, message and message.model_dump(), member.client_id)

    def _now(self) -> int:
        """Return the master's epoch, which no step of the system clock moves."""
        return self._anchor.stamp(time.monotonic_ns())

    def _measure_clock(self, member: Member) -> None:
        member.begin_clock()
        for number in range(PINGS):
            member.answered.clear()
            member.asked(number, self._now())
            self._send(member, say.PING, say.Ping(number=number))
            member.answered.wait(PING_SECONDS)

    def _on_pong(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        now = self._now()
        if member := self._members.get(msg.node_id):
            member.on_pong(say.Pong.model_validate(msg.data), now)

    def _on_ready(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        if member := self._members.get(msg.node_id):
            member.ready = say.Ready.model_validate(msg.data)

    def _on_unable(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        if member := self._members.get(msg.node_id):
            member.unable = say.Unable.model_validate(msg.data).reason

    def _on_rows(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        member = self._members.get(msg.node_id)
        if member is None or self._done.is_set():
            return
        rows = say.Rows.model_validate(msg.data)
        if rows.number == member.got:
            self._history.append_lines(rows.lines)
            member.got += 1
            member.rows += rows.lines.count(b"\n")
        if rows.number < member.got:
            self._send(member, say.GOT, say.Got(number=rows.number))

    def _on_present(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        if member := self._members.get(msg.node_id):
            member.present = Present.model_validate(msg.data)
            if member.present.spell:
                append_spell(self._files.fitness, member.present.spell)

    def _on_ended(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        if member := self._members.get(msg.node_id):
            member.over = say.Over.model_validate(msg.data)
