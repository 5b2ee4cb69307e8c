"""One worker of a distributed load as its master sees it: what it said, sent and when."""

from dataclasses import dataclass, field

from gevent.event import Event

from hotfire.traffic.process import messages as say
from hotfire.traffic.record.files import Present, Worker
from hotfire.traffic.workload.plan import NANO

NEVER_NS = 1 << 62


@dataclass(slots=True)
class Member:
    """A worker that has joined; ``number`` is its place among them, from 0."""

    client_id: str
    number: int
    ready: say.Ready | None = None
    unable: str | None = None
    present: Present | None = None
    over: say.Over | None = None
    got: int = 0
    """Messages of rows written so far; they are written in order."""
    rows: int = 0
    """Rows written so far."""
    zero_ns: int = 0
    """The master's epoch when the worker's monotonic clock was 0."""
    answered: Event = field(default_factory=Event)
    _first_zero_ns: int | None = None
    _round_trip_ns: int = NEVER_NS
    _epoch_offset_ns: int = 0
    _ping: tuple[int, int] = (-1, 0)

    @property
    def name(self) -> str:
        """What an operator would look for."""
        return f"worker {self.number} ({self._where()})"

    def _where(self) -> str:
        return self.ready.name if self.ready else self.client_id

    def lost(self, *, asked: int | None) -> bool:
        """Return whether it fell silent, or left early without being asked to."""
        return self.over is None or not (self.over.finished or asked)

    def begin_clock(self) -> None:
        """Forget former round trips: the clock is measured anew."""
        if self._round_trip_ns < NEVER_NS and self._first_zero_ns is None:
            self._first_zero_ns = self.zero_ns
        self._round_trip_ns = NEVER_NS

    def asked(self, number: int, now_ns: int) -> None:
        """Note when a ping left."""
        self._ping = (number, now_ns)

    def on_pong(self, pong: say.Pong, now_ns: int) -> None:
        """Take the answer of the fastest round trip: it says most about the moment between."""
        number, sent_ns = self._ping
        if pong.number != number:
            return
        if now_ns - sent_ns < self._round_trip_ns:
            middle_ns = (sent_ns + now_ns) // 2
            self._round_trip_ns = now_ns - sent_ns
            self.zero_ns = middle_ns - pong.monotonic_ns
            self._epoch_offset_ns = pong.epoch_ns - middle_ns
        self.answered.set()

    def record(self) -> Worker:
        """Return what is kept of it; the drift is 0 until the clock was measured again."""
        return Worker(
            worker=self.number,
            name=self._where(),
            pid=self.ready.pid if self.ready else 0,
            clock_error_seconds=self._round_trip_ns / 2 / NANO,
            clock_offset_seconds=self._epoch_offset_ns / NANO,
            clock_drift_seconds=(self.zero_ns - (self._first_zero_ns or self.zero_ns)) / NANO,
        )
