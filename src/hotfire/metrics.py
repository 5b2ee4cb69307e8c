"""Prometheus' text format, read: a pure parser. No data is None, never zero."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hotfire.errors import HarnessError

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*", re.ASCII)
_LABEL = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)', re.ASCII)
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

# Names that an older engine gives the same thing.
ALIASES = {
    "vllm:request_time_per_output_token_seconds": ("vllm:time_per_output_token_seconds",),
    "vllm:kv_cache_usage_perc": ("vllm:gpu_cache_usage_perc",),
    "vllm:prefix_cache_queries_total": ("vllm:gpu_prefix_cache_queries_total",),
    "vllm:prefix_cache_hits_total": ("vllm:gpu_prefix_cache_hits_total",),
    "llm_d_epp_ready_endpoints": ("inference_pool_ready_pods",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of one series."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metrics:
    """One scrape."""

    samples: tuple[Sample, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every sample name, with suffixes such as ``_bucket``."""
        return frozenset(sample.name for sample in self.samples)

    def series(self, name: str, **labels: str) -> list[Sample]:
        """Return the samples of a name, or of its first alias present, with these labels."""
        names = self.names
        given = next((n for n in (name, *aliases(name)) if n in names), None)
        return [
            sample
            for sample in self.samples
            if sample.name == given and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum over the matching series; None if there are none or one is NaN."""
        values = [sample.value for sample in self.series(name, **labels)]
        total = math.fsum(values) if all(map(math.isfinite, values)) else math.nan
        return total if values and math.isfinite(total) else None

    def count(self, histogram: str, **labels: str) -> float | None:
        """Return the number of observations of a histogram; None if it is absent."""
        return self.total(f"{histogram}_count", **labels)

    def mean(self, histogram: str, **labels: str) -> float | None:
        """Return the mean observation of a histogram; None without observations."""
        count, total = self.count(histogram, **labels), self.total(f"{histogram}_sum", **labels)
        return total / count if count and total is not None else None


def aliases(name: str) -> Iterator[str]:
    """Return the older names of a metric, a histogram's suffixed ones included."""
    for suffix in ("", "_bucket", "_count", "_sum"):
        stem = name.removesuffix(suffix) if suffix else name
        if stem + suffix == name:
            yield from (alias + suffix for alias in ALIASES.get(stem, ()))


def increase(before: Metrics, after: Metrics, name: str, **labels: str) -> float | None:
    """Return how much a counter grew; None if either scrape lacks it.

    A series that fell was reset with its process and counts from zero, as in PromQL; one that is
    new counts whole, and one that is gone counts nothing.
    """
    if before.total(name, **labels) is None or after.total(name, **labels) is None:
        return None
    earlier = {_key(sample): sample.value for sample in before.series(name, **labels)}
    grown = 0.0
    for sample in after.series(name, **labels):
        start = earlier.get(_key(sample), 0.0)
        grown += sample.value - start if sample.value >= start else sample.value
    return grown


def _key(sample: Sample) -> frozenset[tuple[str, str]]:
    return frozenset(sample.labels.items())


def parse(text: str) -> Metrics:
    """Return the samples of a scrape, comments and time stamps left out.

    Raises:
        HarnessError: a line is not in Prometheus' text format; the message quotes it.
    """
    return Metrics(tuple(_samples(text.split("\n"))))


def _samples(lines: Iterable[str]) -> Iterator[Sample]:
    for number, line in enumerate(lines, start=1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(stripped)
        try:
            if match is None:
                raise ValueError("no sample")  # noqa: TRY301
            name, labels, value = match.groups()
            yield Sample(name=name, value=float(value), labels=_labels(labels or ""))
        except ValueError as error:
            raise HarnessError(f"line {number} of the metrics is malformed: {line!r}") from error


def _labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        match = _LABEL.match(text, at)
        if match is None:
            raise ValueError(text)
        labels[match[1]] = re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), match[2])
        at = match.end()
    return labels
