"""A part of a running load that stands for a load of its own: its rows, its files, its fitness."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from hotfire.measure.history import Request
from hotfire.measure.recovery import settled
from hotfire.traffic.record import gates, part
from hotfire.traffic.record.files import Ended, Files, append_spell, line, spells
from hotfire.traffic.runner.launch import RunningLoad

_COPIED_EVERY_SECONDS = 0.25


class LoadPart:
    """What a load does from a moment on, in a history of its own.

    Other processes read that history while it grows. Requests are numbered from 0, as in any
    history, so that whoever reads it need not know of the load that it is a part of.
    """

    def __init__(self, load: RunningLoad, history: Path, *, since_ns: int | None) -> None:
        """Take everything scheduled from ``since_ns`` on; None: whatever ends from now on."""
        self._load, self.files = load, Files(history)
        self._rows: list[Request] = []
        self._seen = 0
        self._first = _first(load.rows(), since_ns)
        self._lock, self._over = threading.Lock(), threading.Event()
        self._copying = threading.Thread(target=self._copy, daemon=True)

    @property
    def log(self) -> Path:
        """What the load process said."""
        return self._load.log

    def __enter__(self) -> Self:
        self._load.wait_started()
        self.files.history.parent.mkdir(parents=True, exist_ok=True)
        self.files.history.touch(exist_ok=False)
        shutil.copyfile(self._load.files.plan, self.files.plan)
        shutil.copyfile(self._load.files.started, self.files.started)
        self._copying.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_started(self, within_seconds: float | None = None) -> None:
        """Wait for the load, which may have begun long ago."""
        self._load.wait_started(within_seconds)

    def alive(self) -> bool:
        """Return whether the load still runs."""
        return self._load.alive()

    def rows(self) -> list[Request]:
        """Return the rows of this part so far, in order of their end."""
        with self._lock:
            self._take()
            return list(self._rows)

    def stop(self) -> None:
        """Close this part and leave the load alone; later calls do nothing.

        It ends with the last request before the first that is still in flight: what ended later is
        a selection of the fast ones.
        """
        if self._over.is_set():
            return
        self._over.set()
        self._copying.join()
        rows = settled(self.rows())
        draft = self.files.history.with_suffix(".partial")
        draft.write_bytes(b"".join(map(line, rows)))
        draft.replace(self.files.history)
        self._write_fitness(rows)

    def _write_fitness(self, rows: list[Request]) -> None:
        """Judge the load generator in this part, and write its end."""
        plan, told = self._load.plan, spells(self._load.files.fitness)
        results, measured = part.judge(rows, told, plan.gates, workers=plan.workers)
        gates.write(self.files.instrument, results, measured)
        if not rows or measured is None:
            return
        for spell in told:
            if spell.to_ns > rows[0].sched_ns and spell.from_ns <= rows[-1].sched_ns:
                append_spell(self.files.fitness, spell)
        started = self._load.started
        Ended(
            planned_until_stop=len(rows),
            received=len(rows),
            censored=0,
            not_sent=sum(not row.sent for row in rows),
            stopped_at_ns=rows[-1].sched_ns,
            t0_ns=started.t0_ns,
            anchor=started.anchor,
            measured=measured,
            workers=started.workers,
        ).write(self.files.ended)

    def _take(self) -> None:
        """Take what has come since the last time, numbered from 0."""
        known = self._load.rows()
        new = [
            replace(row, seq=row.seq - self._first)
            for row in known[self._seen :]
            if row.seq >= self._first
        ]
        self._seen = len(known)
        self._rows += new
        if new and not self._over.is_set():
            with self.files.history.open("ab") as file:
                file.write(b"".join(map(line, new)))

    def _copy(self) -> None:
        while not self._over.wait(_COPIED_EVERY_SECONDS):
            with self._lock:
                self._take()


def _first(rows: list[Request], since_ns: int | None) -> int:
    """Return the number of a part's first request."""
    if since_ns is None:
        return max((row.seq for row in rows), default=-1) + 1
    later = [row.seq for row in rows if row.sched_ns >= since_ns]
    return min(later) if later else _first(rows, None)
