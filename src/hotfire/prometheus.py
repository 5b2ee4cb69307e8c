"""Prometheus of the target, the only importer of prometheus-api-client: the second witness.

What a client measured and what the servers counted must agree; where they do not, one of them is
wrong.
"""

import math
from dataclasses import dataclass
from typing import Any

from hotfire.errors import HarnessError


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


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
        try:
            moment = {} if at_seconds is None else {"time": at_seconds}
            rows = self._connection.custom_query(query=expression, params=moment)
        except Exception as error:
            raise HarnessError(f"Prometheus at {self.url}: {expression}: {error}") from error
        samples = [Sample(dict(row["metric"]), float(row["value"][1])) for row in rows]
        return [sample for sample in samples if math.isfinite(sample.value)]

    def total(self, expression: str) -> float | None:
        """Return the sum over all series; None when there is none."""
        samples = self.query(expression)
        return sum(sample.value for sample in samples) if samples else None
