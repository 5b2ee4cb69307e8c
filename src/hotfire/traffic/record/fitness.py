"""How a load process keeps its clock exact, and what it measures of its own fitness."""

import contextlib
import gc
import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from hotfire.measure.percentiles import percentile
from hotfire.traffic.record.files import ClockAnchor, Measured
from hotfire.traffic.wire.clock import Anchor, clock_offset_ns
from hotfire.traffic.wire.measurements import Measurements
from hotfire.traffic.wire.surroundings import Disturbance, Surroundings
from hotfire.traffic.workload.plan import LoadPlan

Micros: TypeAlias = Sequence[int]


@dataclass(slots=True)
class Fitness:
    """This process from now on: its priority, its collections, what is done to it."""

    nice: int
    realtime: bool
    gc_pauses: list[float]
    """The longest, and the longest lately."""
    surroundings: Surroundings = field(default_factory=Surroundings)

    @classmethod
    def prepare(cls, plan: LoadPlan) -> "Fitness":
        """Take the priority the plan asks for, where permitted, and watch from now on."""
        return cls(renice(plan.nice), plan.realtime and go_realtime(), watch_gc())

    def measured(self, of_reactor: Measurements, *, dispatched: int, last: int = 0) -> Measured:
        """Return the figures of the gates; lag and lateness only of the ``last`` if there are."""
        return self._figures(
            of_reactor.reader,
            of_reactor.lag_us[-last:],
            of_reactor.lateness_us[-last:],
            dispatched=dispatched,
            cpu_ratio=self.surroundings.busiest.ratio,
            gc_pause_max_seconds=self.gc_pauses[0],
            disturbance=self.surroundings.disturbance(),
        )

    def lately(self, reader: str, lag_us: Micros, lateness_us: Micros) -> Measured:
        """Return the figures since this was asked last, with the samples that came since."""
        pause, self.gc_pauses[1] = self.gc_pauses[1], 0.0
        return self._figures(
            reader,
            lag_us,
            lateness_us,
            dispatched=len(lateness_us),
            cpu_ratio=self.surroundings.busiest.latest,
            gc_pause_max_seconds=pause,
            disturbance=self.surroundings.lately(),
        )

    def _figures(  # noqa: PLR0913 - a record has these parts, most by name
        self,
        reader: str,
        lag_us: Micros,
        lateness_us: Micros,
        *,
        dispatched: int,
        cpu_ratio: float,
        gc_pause_max_seconds: float,
        disturbance: Disturbance,
    ) -> Measured:
        lag, lateness = seconds(lag_us), seconds(lateness_us)
        return Measured(
            dispatched=dispatched,
            lag_p50_seconds=percentile(lag, 50),
            lag_p99_seconds=percentile(lag, 99),
            lag_max_seconds=max(lag),
            lateness_p50_seconds=percentile(lateness, 50),
            lateness_p99_seconds=percentile(lateness, 99),
            lateness_max_seconds=max(lateness),
            cpu_ratio=cpu_ratio,
            gc_pause_max_seconds=gc_pause_max_seconds,
            nice=self.nice,
            realtime=self.realtime,
            reader=reader,
            **asdict(disturbance),
        )


def worst(of_workers: Sequence[Measured]) -> Measured:
    """Return the worst of each figure, and the sum of what was dispatched.

    Every figure but these is worse the larger it is: no average hides a worker that is not fit. One
    that a worker does not tell is not told.
    """
    values: dict[str, Any] = {}
    for name in Measured.model_fields:
        told = [getattr(measured, name) for measured in of_workers]
        values[name] = None if None in told else max(told)
    values["dispatched"] = sum(measured.dispatched for measured in of_workers)
    values["reader"] = ", ".join(sorted({measured.reader for measured in of_workers}))
    values["realtime"] = all(measured.realtime for measured in of_workers)
    return Measured(**values)


def seconds(values: Iterable[int]) -> list[float]:
    """Return microseconds as seconds; never empty, since a gate needs a figure."""
    return [value * 1e-6 for value in values] or [0.0]


def clock(anchor: Anchor) -> ClockAnchor:
    """Return the anchor with the drift until now."""
    drift = clock_offset_ns() - (anchor.epoch_ns - anchor.monotonic_ns)
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
    pauses = [0.0, 0.0]
    begun = [0.0]

    def note(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            begun[0] = time.perf_counter()
        else:
            took = time.perf_counter() - begun[0]
            pauses[:] = [max(longest, took) for longest in pauses]

    gc.callbacks.append(note)
    return pauses
