"""Prometheus of the target, the only importer of prometheus-api-client: the second witness.

What a client measured and what the servers counted must agree; where they do not, one of them is
wrong.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from hotfire.bounded import Reader, json_of
from hotfire.errors import HarnessError
from hotfire.evidence import keep_secret

_TOLD: Final = 300
"""Characters of an answer that a message quotes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """One Prometheus server, by the URL that this process reaches.

    A user name and a password in the URL go to the server as Basic authentication, and are in no
    message and nothing that is recorded.
    """

    def __init__(self, url: str, *, within_seconds: float = 10.0) -> None:
        # The library imports pandas and matplotlib: two seconds that only its user should pay.
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415

        parts = urlsplit(url)
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        reader = Reader(self.url, deadline_seconds=within_seconds)
        session = _Session(reader, self.url, _credentials(parts.username, parts.password))
        self._connection: Any = PrometheusConnect(url=self.url, session=session)

    def query(self, expression: str, *, at_seconds: float | None = None) -> list[Sample]:
        """Return the finite samples of an instant query; no series is an empty list, never zero.

        ``at_seconds`` is the moment it is about, since the epoch; default: now.

        Raises:
            HarnessError: the server cannot be asked, or does not understand the expression.
        """
        try:
            moment = {} if at_seconds is None else {"time": at_seconds}
            rows = self._connection.custom_query(query=expression, params=moment)
            samples = [_sample(row) for row in rows]
        except Exception as error:
            told = f"{type(error).__name__}: {error}"[:_TOLD]
            raise HarnessError(f"Prometheus at {self.url}: {expression}: {told}") from error
        return [sample for sample in samples if math.isfinite(sample.value)]

    def total(self, expression: str) -> float | None:
        """Return the sum over all series; None when there is none."""
        samples = self.query(expression)
        return sum(sample.value for sample in samples) if samples else None


def _sample(row: Mapping[str, Any]) -> Sample:
    labels = {str(name): str(value) for name, value in row["metric"].items()}
    return Sample(labels, float(row["value"][1]))


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    """Return the header that a user name and a password make."""
    if user is None and password is None:
        return {}
    user, password = unquote(user or ""), unquote(password or "")
    keep_secret(password, f"{user}:{password}")
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {encoded}"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the library reads of an answer."""

    status_code: int
    content: bytes

    def json(self) -> object:
        return json_of(self.content)


class _Session:
    """What the library asks of a session of requests, by way of the bounded reader.

    A session of requests would wait anew for each byte, follow redirects, unpack what comes and
    read it whole.
    """

    verify, cert = True, None

    def __init__(self, reader: Reader, url: str, headers: Mapping[str, str]) -> None:
        self._reader, self._url, self._headers = reader, url, headers

    def mount(self, *_: object) -> None:
        """Take no adapter: the reader is all there is."""

    def request(
        self, method: str, url: str, *, params: Mapping[str, Any] | None = None, **_: object
    ) -> _Answer:
        """Make one exchange; what a session of requests would take beside is the reader's own."""
        path = f"{url.removeprefix(self._url)}?{urlencode(params or {})}"
        page = self._reader.ask(method, path, headers=self._headers)
        if page.error is not None or page.status is None:
            raise HarnessError(page.error or "no answer")
        return _Answer(page.status, page.content if page.status == 200 else page.content[:_TOLD])
