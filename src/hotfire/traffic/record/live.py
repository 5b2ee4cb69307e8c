"""What a load looks like while it runs: the tail of its history, read as it grows."""

import re
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hotfire.errors import HistoryError
from hotfire.measure.history import Request, parse_lines
from hotfire.measure.percentiles import percentile
from hotfire.measure.request_times import tpot_seconds, ttft_seconds
from hotfire.traffic.record import gates
from hotfire.traffic.record.files import Files, Present, Started
from hotfire.traffic.record.gates import GateResult
from hotfire.traffic.workload.plan import LoadPlan, arrivals_of

WINDOW_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 5.0
_PARSED_A_LOOK: Final = 200
"""Rows parsed in one look; beyond it every n-th is, so that a look costs the same at any rate."""
_FAILURE: Final = re.compile(rb'"error_class":"([^"]*)"')
_BYTES_A_LOOK: Final = 16 << 20
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """The last ten seconds of a load; NaN where nothing was measured."""

    elapsed_seconds: float
    scheduled: int
    ended: int
    ended_per_second: float
    ttft_p50_seconds: float
    ttft_p95_seconds: float
    tpot_p50_seconds: float
    errors: dict[str, int]
    """By class, since the start."""
    gates: tuple[GateResult, ...]
    """Those that can be known so far, of the worst process; none: it has said nothing lately."""

    @property
    def in_flight(self) -> int:
        """Requests that were due and have not ended."""
        return max(0, self.scheduled - self.ended)


class Tail:
    """Reads a history while it grows; each look costs what came since the last, within bounds."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._place = 0
        self._ended = 0
        self._errors: Counter[str] = Counter()
        self._recent: deque[tuple[int, list[Request]]] = deque()
        self._counts: deque[tuple[int, int]] = deque()
        self._started: Started | None = None
        self._plan: LoadPlan | None = None
        self._due: Due | None = None

    def look(self) -> Glimpse | None:
        """Return the present state; None before the load has begun."""
        if not self._begun() or self._started is None or self._due is None:
            return None
        now = time.monotonic_ns()
        self._recent.append((now, list(self._read())))
        self._counts.append((now, self._ended))
        horizon = now - round(WINDOW_SECONDS * _NANO)
        while self._recent[0][0] < horizon:
            self._recent.popleft()
        while self._counts[0][0] < horizon and len(self._counts) > 1:
            self._counts.popleft()
        return self._glimpse(now)

    def _begun(self) -> bool:
        if self._started is None:
            try:
                self._started = Started.model_validate_json(self._files.started.read_bytes())
                self._plan = LoadPlan.read(self._files.plan)
                self._due = Due(self._plan)
            except (OSError, ValueError):
                return False
        return True

    def _read(self) -> Iterator[Request]:
        """Count every new row; yield as many as may be parsed."""
        lines = self._new_lines()
        self._ended += len(lines)
        every = max(1, -(-len(lines) // _PARSED_A_LOOK))
        for place, line in enumerate(lines):
            if failure := _FAILURE.search(line):
                self._errors[failure[1].decode()] += 1
            if place % every == 0:
                with suppress(HistoryError):
                    yield from parse_lines(line.decode(errors="replace") + "\n")

    def _new_lines(self) -> list[bytes]:
        try:
            with self._files.history.open("rb") as file:
                file.seek(self._place)
                data = file.read(_BYTES_A_LOOK)
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        return whole.split(b"\n")[:-1]

    def _glimpse(self, now: int) -> Glimpse:
        rows = [row for _, some in self._recent for row in some]
        served = [row for row in rows if row.complete]
        ttft = [value for row in served if (value := ttft_seconds(row)) is not None]
        tpot = [value for row in served if (value := tpot_seconds(row)) is not None]
        began, before = self._counts[0]
        elapsed = time.time_ns() - (self._started.t0_ns if self._started else 0)
        return Glimpse(
            elapsed_seconds=max(0, elapsed) / _NANO,
            scheduled=self._due.until(elapsed, self._ended) if self._due else 0,
            ended=self._ended,
            ended_per_second=(self._ended - before) / max(1, now - began) * _NANO,
            ttft_p50_seconds=percentile(ttft, 50),
            ttft_p95_seconds=percentile(ttft, 95),
            tpot_p50_seconds=percentile(tpot, 50),
            errors=dict(self._errors.most_common()),
            gates=self._gates(),
        )

    def _gates(self) -> tuple[GateResult, ...]:
        """Return what the load process last said of itself, if that is news."""
        path, silent_since = self._files.present, time.time() - SILENT_SECONDS
        try:
            if self._plan is None or path.stat().st_mtime < silent_since:
                return ()
            present = Present.model_validate_json(path.read_bytes())
        except (OSError, ValueError):
            return ()
        return tuple(gates.so_far(present, self._plan.gates))


class Due:
    """How many arrivals of a plan are due; a plan's arrivals are walked once."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._offsets = (arrival.offset_ns for arrival in arrivals_of(plan))
        self._seen: list[int] = []

    def until(self, elapsed_ns: int, ended: int) -> int:
        """Return the number due by then; of a closed loop, what ended and what is asked for."""
        if self._plan.mode == "closed":
            return ended + self._plan.concurrency
        while not self._seen or self._seen[-1] <= elapsed_ns:
            offset = next(self._offsets, None)
            if offset is None:
                break
            self._seen.append(offset)
        return bisect_left(self._seen, elapsed_ns)


def newest(folder: Path) -> Path | None:
    """Return the history that began last in a folder of them; None if there is none."""
    found = [path for path in folder.glob("*.jsonl") if Files(path).plan.exists()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
