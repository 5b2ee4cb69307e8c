"""A load of one process: the session and its files."""

import os
from collections.abc import Callable, Iterator

import gevent
from gevent.lock import RLock

from hotfire.measure.history import Request
from hotfire.traffic.process.session import PRESENT_SECONDS, Session
from hotfire.traffic.record.files import Files, HistoryWriter, Started, append_spell
from hotfire.traffic.record.fitness import clock
from hotfire.traffic.wire.clock import Anchor
from hotfire.traffic.workload.plan import NANO, LoadPlan

LEAD_SECONDS = 0.2


class Alone:
    """One load that this process carries by itself; ``leave`` is called when its plan ends."""

    def __init__(self, plan: LoadPlan, files: Files, leave: Callable[[], None]) -> None:
        self.files = files
        self._leave, self._lock, self._written = leave, RLock(), False
        self._history = HistoryWriter(files.history)
        anchor = Anchor.now()
        t0_ns = anchor.monotonic_ns + round(LEAD_SECONDS * NANO)
        self.session = Session(plan, self._history.append, anchor=anchor, t0_ns=t0_ns)
        Started(
            t0_ns=anchor.stamp(t0_ns),
            pid=os.getpid(),
            address=self.session.addresses[0],
            anchor=clock(anchor),
        ).write(files.started)
        gevent.spawn(self._walk)
        gevent.spawn(self._tell)

    def _walk(self) -> None:
        # Whoever stopped the load does the rest; Locust's page may have begun the next one by now.
        stopped = False
        try:
            stopped = not self.session.pump.run()
        finally:
            if not stopped:
                self._leave()

    def _tell(self) -> None:
        while not self._written:
            present = self.session.present()
            present.write(self.files.present)
            if present.spell:
                append_spell(self.files.fitness, present.spell)
            gevent.sleep(PRESENT_SECONDS)

    def stop(self) -> None:
        """Bring every planned request to its row and write the end; later calls wait for it."""
        with self._lock:
            self.session.drain()
            if not self._written:
                self._written = True
                self._history.close()
                self.session.end().write(self.files.ended)
                self.files.present.unlink(missing_ok=True)

    def reports(self) -> Iterator[Request]:
        """Return what has ended since the last call."""
        return taken(self.session)


def taken(session: Session) -> Iterator[Request]:
    """Return what has ended since the last call, and forget it."""
    while session.reported:
        yield session.reported.popleft()
