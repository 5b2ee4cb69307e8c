"""A worker of a distributed load: takes its share of the plan, sends its rows to the master."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from pydantic import ValidationError

from hotfire.errors import InstrumentError, ProfileError
from hotfire.measure.history import Request
from hotfire.traffic.process import messages as say
from hotfire.traffic.process.alone import taken
from hotfire.traffic.process.pump import Share
from hotfire.traffic.process.session import PRESENT_SECONDS, Session
from hotfire.traffic.record.files import line
from hotfire.traffic.wire.clock import Anchor
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.secret import Secrets, with_files_here

DELIVERY_SECONDS = 0.1
AGAIN_SECONDS = 3.0
"""Rows not acknowledged by then are sent again: the connection may have been renewed."""
LAST_WORD_SECONDS = 60.0


class Worker:
    """One worker process; ``runner`` is Locust's, and ``fail`` ends the process."""

    def __init__(self, runner: say.Runner, fail: Callable[[object], None]) -> None:
        self._runner, self._fail = runner, fail
        self._pieces: dict[int, str] = {}
        self._plan: LoadPlan | None = None
        self.session: Session | None = None
        self._finished = False
        self._outbox = Outbox(runner)
        listeners = {say.PING: self._on_ping, say.PLAN: self._on_plan, say.GOT: self._on_got}
        for kind, listener in listeners.items():
            runner.register_message(kind, listener)
        runner.register_message(say.GO, self._on_go)
        # This takes its time, and Locust must go on hearing the master meanwhile.
        runner.register_message(say.STOP, self._on_stop, concurrent=True)

    def _on_ping(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        number = say.Ping.model_validate(msg.data).number
        pong = say.Pong(number=number, monotonic_ns=time.monotonic_ns(), epoch_ns=time.time_ns())
        self._runner.send_message(say.PONG, pong.model_dump())

    def _on_plan(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        piece = say.PlanPart.model_validate(msg.data)
        self._pieces[piece.part] = piece.text
        if len(self._pieces) < piece.parts:
            return
        text = "".join(self._pieces[part] for part in range(piece.parts))
        try:
            self._plan = with_files_here(LoadPlan.model_validate_json(text))
            Secrets(self._plan)
        except ValidationError as error:
            self._runner.send_message(say.UNABLE, {"reason": f"not the plan it knows: {error}"})
            return
        except ProfileError as error:
            self._runner.send_message(say.UNABLE, {"reason": str(error)})
            return
        ready = say.Ready(name=f"{socket.gethostname()}:{os.getpid()}", pid=os.getpid())
        self._runner.send_message(say.READY, ready.model_dump())

    def _on_go(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        walk = gevent.spawn(self._walk, say.Go.model_validate(msg.data))
        # A worker that cannot go on must not look alive: the master counts on what it hears.
        walk.link_exception(lambda broken: self._fail(broken.exception))

    def _walk(self, go: say.Go) -> None:
        if self._plan is None:
            raise InstrumentError("told to go without a plan; start the load again")
        # Rows are stamped on the master's clock from the start; nothing is converted later.
        anchor = Anchor(go.zero_ns, 0)
        self.session = Session(
            self._plan,
            self._outbox.keep,
            anchor=anchor,
            t0_ns=go.t0_epoch_ns - go.zero_ns,
            share=Share(go.worker, go.workers),
        )
        gevent.spawn(self._outbox.deliver_always)
        gevent.spawn(self._tell, self.session)
        self._finished = self.session.pump.run()
        self.stop()

    def _tell(self, session: Session) -> None:
        while not session.ended.is_set():
            self._runner.send_message(say.PRESENT, session.present().model_dump())
            gevent.sleep(PRESENT_SECONDS)

    def _on_got(self, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's
        self._outbox.forget(say.Got.model_validate(msg.data).number)

    def _on_stop(self, **_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Bring every planned request to its row, deliver the rows, and say so; once."""
        session = self.session
        if session is None or session.stopped_ns is not None:
            return
        session.drain()
        self._outbox.deliver_all(LAST_WORD_SECONDS)
        over = say.Over(ended=session.end(), finished=self._finished)
        self._runner.send_message(say.ENDED, over.model_dump())

    def reports(self) -> Iterator[Request]:
        """Return what has ended since the last call."""
        return taken(self.session) if self.session else iter(())


class Outbox:
    """Rows on their way to the master."""

    def __init__(self, runner: say.Runner, *, again_seconds: float = AGAIN_SECONDS) -> None:
        self._runner, self._again_seconds = runner, again_seconds
        self._lines: deque[bytes] = deque()
        self._sent: dict[int, tuple[float, bytes]] = {}
        self._next = 0

    def keep(self, request: Request) -> None:
        """Take one row; the reactor's thread calls this."""
        self._lines.append(line(request))

    def forget(self, number: int) -> None:
        """Forget what the master has."""
        self._sent.pop(number, None)

    def deliver_always(self) -> None:
        """Send what there is, again and again."""
        while True:
            self._deliver()
            gevent.sleep(DELIVERY_SECONDS)

    def deliver_all(self, within_seconds: float) -> None:
        """Wait until the master has every row, or there is no use in waiting."""
        until = time.monotonic() + within_seconds
        while (self._lines or self._sent) and time.monotonic() < until:
            self._deliver()
            gevent.sleep(DELIVERY_SECONDS)

    def _deliver(self) -> None:
        while self._lines:
            self._sent[self._next] = (0.0, self._batch())
            self._next += 1
        now = time.monotonic()
        for number, (sent, lines) in list(self._sent.items()):
            if now >= sent + self._again_seconds or not sent:
                self._sent[number] = (now, lines)
                rows = say.Rows(number=number, lines=lines)
                self._runner.send_message(say.ROWS, rows.model_dump())

    def _batch(self) -> bytes:
        size = 0
        lines: list[bytes] = []
        while self._lines and (not lines or size + len(self._lines[0]) <= say.PART_BYTES):
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return b"".join(lines)
