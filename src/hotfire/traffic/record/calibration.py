"""How exact the instrument is on this machine, as last measured; kept with every run."""

import os
import platform
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from hotfire.traffic.record.files import JsonFile
from hotfire.traffic.wire.reader import implementation


class Host(JsonFile):
    """What makes two machines the same instrument."""

    node: str
    cores: int
    processor: str
    kernel: str
    python: str
    reader: str
    """What reads the streams: compiled code or Python."""

    @classmethod
    def this(cls) -> Self:
        """Return this machine and interpreter."""
        return cls(
            node=platform.node(),
            cores=len(os.sched_getaffinity(0)),
            processor=_processor(),
            kernel=platform.release(),
            python=platform.python_version(),
            reader=implementation("reactor").name,
        )


class Error(JsonFile):
    """Measured less true, over many requests; seconds."""

    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    """Of the error's size."""
    max_seconds: float
    """Of the error's size."""


class Calibration(JsonFile):
    """The instrument against an engine whose times are known."""

    host: Host
    at: datetime
    rate_per_second: float
    max_tokens: int
    requests: int
    tokens_per_second: float
    workers: int
    true_ttft_seconds: float
    """Mean of what the engine did."""
    true_tpot_seconds: float
    """Mean of what the engine did."""
    ttft: Error
    tpot: Error
    e2e: Error
    fit: bool
    """Whether every gate held meanwhile."""

    def told(self) -> str:
        """Return the calibration in one line."""
        ttft, tpot = self.ttft, self.tpot
        return (
            f"TTFT {_us(ttft.mean_seconds)} mean, {_us(ttft.p95_seconds)} p95; "
            f"TPOT {_us(tpot.mean_seconds)} mean, {_us(tpot.p95_seconds)} p95; "
            f"{self.requests} requests at {self.rate_per_second:g}/s, "
            f"{self.tokens_per_second:.0f} tokens/s, {self.at:%Y-%m-%d}"
        )


def default_path() -> Path:
    """Return where the calibration of this machine lies."""
    return Path.home() / ".cache" / "hotfire" / "instrument.json"


def remembered(path: Path | None = None) -> Calibration | None:
    """Return the calibration of this very machine; None if there is none."""
    try:
        found = Calibration.model_validate_json((path or default_path()).read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.host == Host.this() else None


def remember(calibration: Calibration, path: Path | None = None) -> Path:
    """Keep a calibration for the runs to come, and return where."""
    path = path or default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    calibration.write(path)
    return path


def _us(seconds: float) -> str:
    return f"{1e6 * seconds:.1f} µs"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
