"""What the load process leaves beside its history, and how a row is written."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hotfire import json_text, whole_files
from hotfire.measure.history import Request, to_row


class JsonFile(BaseModel):
    """A small JSON file that one process writes once and another reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def write(self, path: Path) -> None:
        """Write the file so that a reader sees all of it or nothing."""
        whole_files.write(path, self.model_dump_json(indent=1) + "\n", durable=False)


class ClockAnchor(JsonFile):
    """The same moment on both clocks of the load process."""

    epoch_ns: int
    monotonic_ns: int
    drift_ns: int = 0
    """How far the epoch clock had moved against the monotonic one at the end."""


class Worker(JsonFile):
    """One process of a distributed load, as its master knows it."""

    worker: int
    """Number in the history's rows; it takes the arrivals whose seq leaves this remainder."""
    name: str
    """Host and process."""
    pid: int
    """Process, on its own machine."""
    clock_error_seconds: float
    """Half the shortest round trip of a clock exchange: how far its stamps may be off."""
    clock_offset_seconds: float
    """Its epoch clock less the master's; the rows' stamps are on the master's."""
    clock_drift_seconds: float = 0.0
    """How far its clock moved against the master's from the start to the end of the load."""


class Started(JsonFile):
    """Written when the first arrival is about to be due."""

    t0_ns: int
    """Epoch time of the plan's offset 0."""
    pid: int
    address: tuple[str, int]
    """Where the gateway's name resolved to; it is resolved once."""
    anchor: ClockAnchor
    workers: tuple[Worker, ...] = ()
    """The processes of a distributed load."""


class Measured(JsonFile):
    """What the load generator measured of itself."""

    dispatched: int
    lag_p50_seconds: float
    lag_p99_seconds: float
    lag_max_seconds: float
    lateness_p50_seconds: float
    lateness_p99_seconds: float
    lateness_max_seconds: float
    cpu_ratio: float
    """CPU seconds of the process per second in its busiest five, one core being 1."""
    gc_pause_max_seconds: float
    nice: int
    """Priority the process really had."""
    realtime: bool = False
    """Whether it was scheduled ahead of all ordinary processes."""
    throttled_count: int | None = None
    """How often a CPU quota held the process back; None: this machine does not tell."""
    throttled_seconds: float | None = None
    """How long it did; None: this machine does not tell."""
    steal_ratio: float | None = None
    """Share of the machine's CPU time that a hypervisor gave to others; None: not told."""
    clock_step_seconds: float = 0.0
    """Largest jump of the epoch clock against the monotonic one."""
    reader: str = ""
    """What read the streams: compiled code, Python or geventhttpclient."""


class Spell(JsonFile):
    """One line of ``<id>.fitness``, in JSON: how fit a process of the load was for a second or so.

    By these lines a part of a long load is judged by itself: what was wrong an hour before is no
    trouble of a measurement that came after it.
    """

    from_ns: int
    to_ns: int
    """Epoch, by the clock of the rows' stamps."""
    worker: int
    measured: Measured
    """In this time alone."""
    lags: int
    """Samples of the timer's lag."""
    lags_beyond: int
    """Those among them beyond the gate's limit."""
    lateness_beyond: int
    """Requests among ``measured.dispatched`` that were sent later than the gate allows."""


class Present(JsonFile):
    """Written every second while the load runs, gone at its end: what it knows of its fitness."""

    measured: Measured
    """Lag and lateness of the last thousand; all else since the start. Of several workers: the
    worst of each figure."""
    not_sent: int
    """Requests that the client held back."""
    lost_workers: tuple[str, ...] = ()
    """Those that fell silent or left early."""
    spell: Spell | None = None
    """The time since the one before, as its worker tells its master."""


class Ended(JsonFile):
    """Written last, when every row is on disk; without it the load was killed."""

    planned_until_stop: int
    """Arrivals scheduled until the stop; later ones are no part of the plan any more."""
    received: int
    """Rows with an outcome, whichever."""
    censored: int
    """Rows ended by the stop."""
    not_sent: int
    """Rows, among those received, that the client held back."""
    stopped_at_ns: int
    t0_ns: int
    anchor: ClockAnchor
    measured: Measured
    """Of several workers: the worst of each figure, and the sum of what they dispatched."""
    workers: tuple[Worker, ...] = ()
    """The processes of a distributed load, their clocks measured again."""
    lost_workers: tuple[str, ...] = ()
    """Those that fell silent or left early; the load had another shape from then on."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one load, named after its history ``<id>.jsonl``."""

    history: Path

    @property
    def plan(self) -> Path:
        """The plan as it was started."""
        return self.history.with_suffix(".plan.json")

    def write_plan(self, text: str) -> None:
        """Keep the plan as it was started."""
        self.plan.write_text(text + "\n", encoding="utf-8")

    @property
    def started(self) -> Path:
        """Written by the load process at its start."""
        return self.history.with_suffix(".start.json")

    @property
    def present(self) -> Path:
        """Written by the load process while it runs."""
        return self.history.with_suffix(".live.json")

    @property
    def fitness(self) -> Path:
        """Written by the load process while it runs: a ``Spell`` a line."""
        return self.history.with_suffix(".fitness")

    @property
    def ended(self) -> Path:
        """Written by the load process at its end."""
        return self.history.with_suffix(".end.json")

    @property
    def instrument(self) -> Path:
        """The gates and their results."""
        return self.history.with_suffix(".instrument.json")

    @property
    def crosscheck(self) -> Path:
        """The engines' own account against the client's."""
        return self.history.with_suffix(".crosscheck.json")


def append_spell(path: Path, spell: Spell) -> None:
    """Add a line about the last second."""
    with path.open("a", encoding="utf-8") as file:
        file.write(spell.model_dump_json() + "\n")


def spells(path: Path) -> list[Spell]:
    """Return what a load told of itself so far; the last line may be half written."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    return [Spell.model_validate_json(line) for line in lines]


def line(request: Request) -> bytes:
    """Return one row as a line of JSON."""
    return json_text.written(to_row(request)) + b"\n"


class HistoryWriter:
    """Appends rows, each with one write, so that a crash loses at most the last one."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)

    def append(self, request: Request) -> None:
        """Write one row."""
        self.append_lines(line(request))

    def append_lines(self, lines: bytes) -> None:
        """Write rows that are lines already."""
        while (written := os.write(self._fd, lines)) < len(lines):
            lines = lines[written:]

    def close(self) -> None:
        """Make what was written durable."""
        os.fsync(self._fd)
        os.close(self._fd)
