"""Prometheus of the target, the only importer of prometheus-api-client: the second witness.

What a client measured and what the servers counted must agree; where they do not, one of them is
wrong.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from hotfire.errors import HarnessError
from hotfire.patience import Patience

_DOOR: Final = "Prometheus"
_STATUS: Final = re.compile(r"HTTP Status Code (\d{3})")
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """One Prometheus server, by the URL that this process reaches."""

    def __init__(
        self, url: str, *, within_seconds: float = 10.0, patience: Patience | None = None
    ) -> None:
        """Name the server; with ``patience`` a silent one is asked again."""
        # The library imports pandas and matplotlib: two seconds that only its user should pay.
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415

        self.url = url
        self._patience = patience or Patience()
        # The library's own repetitions know no deadline.
        once = urllib3.Retry(0)
        self._connection: Any = PrometheusConnect(url=url, timeout=within_seconds, retry=once)

    def query(self, expression: str, *, at_seconds: float | None = None) -> list[Sample]:
        """Return the finite samples of an instant query; no series is an empty list, never zero.

        ``at_seconds`` is the moment it is about, since the epoch; default: now.

        Raises:
            HarnessError: the server cannot be asked, or does not understand the expression.
        """
        try:
            moment = {} if at_seconds is None else {"time": at_seconds}
            rows = self._patience.retrying(
                lambda _again: self._connection.custom_query(query=expression, params=moment),
                door=_DOOR,
                passing=_passing,
            )
        except Exception as error:
            raise HarnessError(f"Prometheus at {self.url}: {expression}: {error}") from error
        samples = [Sample(dict(row["metric"]), float(row["value"][1])) for row in rows]
        return [sample for sample in samples if math.isfinite(sample.value)]

    def total(self, expression: str) -> float | None:
        """Return the sum over all series; None when there is none."""
        samples = self.query(expression)
        return sum(sample.value for sample in samples) if samples else None


def _passing(error: Exception) -> float | None:
    """Return 0 for what may pass by itself: no connection, no answer in time, 429 and 5xx."""
    if found := _STATUS.match(str(error)):
        status = int(found[1])
        return 0.0 if status == _TOO_MANY or status >= 500 else None
    # What is wrong with a URL or an answer is both in that library, an OSError and a ValueError.
    return 0.0 if isinstance(error, OSError) and not isinstance(error, ValueError) else None
