"""Prometheus of the target, the only importer of prometheus-api-client: the second witness.

What a client measured and what the servers counted must agree; where they do not, one of them is
wrong.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hotfire import causes
from hotfire.errors import HarnessError

T = TypeVar("T")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeTarget:
    """One address that a Prometheus reads, as it lists it."""

    labels: Mapping[str, str]
    url: str
    interval_seconds: float | None
    """None where the server does not tell; before 2.28 it did not."""
    error: str
    """Why the last scrape failed; empty if it did not."""

    def made(self, labels: Mapping[str, str]) -> bool:
        """Return whether a series of these labels was scraped here."""
        mine = [(name, self.labels.get(name)) for name in ("job", "instance")]
        return all(value and labels.get(name) == value for name, value in mine)


class Prometheus:
    """One Prometheus server, by the URL that this process reaches."""

    def __init__(self, url: str, *, within_seconds: float = 10.0) -> None:
        # The library imports pandas and matplotlib: two seconds that only its user should pay.
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415

        self.url = url
        self._connection: Any = PrometheusConnect(url=url, timeout=within_seconds)

    def query(self, expression: str, *, at_seconds: float | None = None) -> list[Sample]:
        """Return the finite samples of an instant query; no series is an empty list, never zero.

        ``at_seconds`` is the moment it is about, since the epoch; default: now.

        Raises:
            HarnessError: the server cannot be asked, or does not understand the expression.
        """
        moment = {} if at_seconds is None else {"time": at_seconds}

        def asked() -> list[Sample]:
            rows = self._connection.custom_query(query=expression, params=moment)
            return [Sample(dict(row["metric"]), float(row["value"][1])) for row in rows]

        samples = self._ask(expression, asked)
        return [sample for sample in samples if math.isfinite(sample.value)]

    def stamps(self, expression: str) -> list[list[float]]:
        """Return when each series of a range, such as ``up[5m]``, was sampled, oldest first.

        Raises:
            HarnessError: the server cannot be asked, or does not understand the expression.
        """

        def asked() -> list[list[float]]:
            rows = self._connection.custom_query(query=expression)
            return [[float(stamp) for stamp, _ in row.get("values") or ()] for row in rows]

        return self._ask(expression, asked)

    def targets(self) -> list[ScrapeTarget]:
        """Return what the server scrapes; empty where its list has another form.

        Raises:
            HarnessError: it cannot be asked, or has no such list.
        """

        def asked() -> list[ScrapeTarget]:
            rows = self._connection.get_targets(state="active").get("activeTargets")
            return [_target(row) for row in rows or ()]

        return self._ask("its targets", asked)

    def total(self, expression: str) -> float | None:
        """Return the sum over all series; None when there is none."""
        samples = self.query(expression)
        return sum(sample.value for sample in samples) if samples else None

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:
            why = causes.of_error(error)
            raise HarnessError(f"Prometheus at {self.url}: {what}: {why}") from error


def _target(row: Mapping[str, Any]) -> ScrapeTarget:
    return ScrapeTarget(
        labels=dict(row.get("labels") or {}),
        url=str(row.get("scrapeUrl") or ""),
        interval_seconds=duration_seconds(str(row.get("scrapeInterval") or "")),
        error=str(row.get("lastError") or ""),
    )


def duration_seconds(text: str) -> float | None:
    """Return the seconds of a duration as Prometheus writes it, e.g. ``1m30s``; None if it is none.

    Zero is none either.
    """
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) or None
