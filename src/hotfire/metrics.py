"""Prometheus' text format, read: a pure parser. No data is None, never zero."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hotfire.errors import HarnessError

# Possessive throughout: what matched is never tried otherwise, so that no line costs more than its
# length. An exemplar, as OpenMetrics has it, follows the value and its time stamp.
_NAME = re.compile(r"[a-zA-Z_:][\w:]*+", re.ASCII)
_LABELS = r'\{((?:[^"{}]|"(?:[^"\\]|\\.)*+")*+)\}'
_SAMPLE = re.compile(
    rf"({_NAME.pattern})(?:\s*+{_LABELS})?+\s++([^\s_]++)(?:\s++-?[\d.eE+-]++)?+(?:\s++#.*)?",
    re.ASCII,
)
_LABEL = re.compile(r'\s*+([a-zA-Z_]\w*+)\s*+=\s*+"((?:[^"\\]|\\.)*+)"\s*+(?:,|$)', re.ASCII)
_BEGINNINGS = ("# HELP", "# TYPE")
_QUOTED = 80
_QUOTES = 20
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

# Names that an older engine gives the same thing.
ALIASES = {
    "vllm:request_time_per_output_token_seconds": ("vllm:time_per_output_token_seconds",),
    "vllm:kv_cache_usage_perc": ("vllm:gpu_cache_usage_perc",),
    "vllm:prefix_cache_queries_total": ("vllm:gpu_prefix_cache_queries_total",),
    "vllm:prefix_cache_hits_total": ("vllm:gpu_prefix_cache_hits_total",),
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
    malformed: tuple[str, ...] = ()
    """What could not be read, as ``line 7: 'x{a='``, of the first lines of that kind."""
    damaged: frozenset[str] = frozenset()
    """Names of which a line could not be read: their sums are unknown, not smaller."""

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
        """Return the sum over the matching series.

        None if there are none, one is NaN, or one could not be read.
        """
        if not self.damaged.isdisjoint((name, *aliases(name))):
            return None
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


def begins_as_one(text: str) -> bool:
    """Return whether a text begins as a metrics page does.

    Some engines answer with JSON there, or with a page of HTML, and with success.
    """
    return text.lstrip().startswith(_BEGINNINGS)


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
    """Return the samples of a scrape, comments, time stamps and exemplars left out.

    A line that is not in Prometheus' text format costs what it would have told, and is told itself.

    Raises:
        HarnessError: no line is; the message quotes the first.
    """
    samples: list[Sample] = []
    malformed: list[str] = []
    damaged: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        try:
            samples.append(_sample(stripped))
        except ValueError:
            if len(malformed) < _QUOTES:
                malformed.append(f"line {number}: {stripped[:_QUOTED]!r}")
            if name := _NAME.match(stripped):
                damaged.add(name[0])
    if malformed and not samples:
        raise HarnessError(f"this is no page of metrics; {malformed[0]}")
    return Metrics(tuple(samples), tuple(malformed), frozenset(damaged))


def _sample(line: str) -> Sample:
    match = _SAMPLE.fullmatch(line)
    if match is None:
        raise ValueError("no sample")
    name, labels, value = match.groups()
    return Sample(name=name, value=float(value), labels=_labels(labels or ""))


def _labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _LABEL.match(text, at)
        if match is None:
            raise ValueError(text)
        labels[match[1]] = re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), match[2])
        at = match.end()
    return labels
