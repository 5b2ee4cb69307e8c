"""Prometheus of the target, the only importer of prometheus-api-client: the second witness.

What a client measured and what the servers counted must agree; where they do not, one of them is
wrong.
"""

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlencode, urlsplit

from hotfire import causes
from hotfire.bounded import Reader, json_of
from hotfire.errors import HarnessError
from hotfire.evidence import keep_secret
from hotfire.patience import Patience

_TOLD: Final = 300
"""Characters of an answer that a message quotes."""

T = TypeVar("T")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DOOR: Final = "Prometheus"
_STATUS: Final = re.compile(r"HTTP Status Code (\d{3})")
_OK: Final = 200
_TOO_MANY: Final = 429
_SILENT: Final = ("connect", "deadline", "reset", "protocol: Server disconnected")
"""What the bounded reader says first where nobody answered; a relay takes a connection first, and
ends it where it finds nobody behind it."""


@dataclass(frozen=True, slots=True)
class SeriesValue:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """A rule that raises an alert, as a Prometheus lists it."""

    name: str
    expression: str
    for_seconds: float
    """How long its expression must hold before it fires."""
    interval_seconds: float
    """How often it is evaluated."""
    error: str
    """Why its last evaluation failed; empty if it did not."""


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A rule whose answers become series of their own, as a Prometheus lists it."""

    name: str
    expression: str


class Prometheus:
    """One Prometheus server, by the URL that this process reaches.

    A user name and a password in the URL go to the server as Basic authentication, and are in no
    message and nothing that is recorded.
    """

    def __init__(
        self, url: str, *, within_seconds: float = 10.0, patience: Patience | None = None
    ) -> None:
        """Name the server; with ``patience`` a silent one is asked again."""
        # The library imports pandas and matplotlib: two seconds that only its user should pay.
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415

        self._patience = patience or Patience()
        parts = urlsplit(url)
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        reader = Reader(self.url, deadline_seconds=within_seconds)
        session = _Session(reader, self.url, _credentials(parts.username, parts.password))
        self._session = session
        self._connection: Any = PrometheusConnect(url=self.url, session=session)

    def query(self, expression: str, *, at_seconds: float | None = None) -> list[SeriesValue]:
        """Return the finite samples of an instant query; no series is an empty list, never zero.

        ``at_seconds`` is the moment it is about, since the epoch; default: now.

        Raises:
            HarnessError: the server cannot be asked, or does not understand the expression.
        """
        moment = {} if at_seconds is None else {"time": at_seconds}

        def asked() -> list[SeriesValue]:
            rows = self._connection.custom_query(query=expression, params=moment)
            return [_sample(row) for row in rows]

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

    def alert_rules(self) -> list[AlertRule]:
        """Return the rules that raise alerts.

        Raises:
            HarnessError: the server cannot be asked, or has no such list.
        """
        return self._rules("alerting", _alert_rule)

    def recording_rules(self) -> list[RecordingRule]:
        """Return the rules that record what comes of an expression.

        Raises:
            HarnessError: the server cannot be asked, or has no such list.
        """
        return self._rules(
            "recording", lambda rule, _: RecordingRule(str(rule["name"]), str(rule["query"]))
        )

    def _rules(self, kind: str, read: Callable[[Mapping[str, Any], float], T]) -> list[T]:
        """Return the rules of a kind, each read together with its group's interval in seconds."""

        def asked() -> list[T]:
            answer = self._session.request("GET", f"{self.url}/api/v1/rules")
            if answer.status_code != _OK:
                raise HarnessError(f"HTTP Status Code {answer.status_code}")
            document: Any = answer.json()
            groups = document["data"]["groups"]
            return [
                read(rule, float(group["interval"]))
                for group in groups
                for rule in group["rules"]
                if rule.get("type") == kind
            ]

        return self._ask("its rules", asked)

    def total(self, expression: str) -> float | None:
        """Return the sum over all series; None when there is none."""
        samples = self.query(expression)
        return sum(sample.value for sample in samples) if samples else None

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        try:
            return self._patience.retrying(lambda _again: call(), door=_DOOR, passing=_passing)
        except Exception as error:
            why = causes.of_error(error)[:_TOLD]
            raise HarnessError(f"Prometheus at {self.url}: {what}: {why}") from error


def _alert_rule(row: Mapping[str, Any], interval_seconds: float) -> AlertRule:
    return AlertRule(
        name=str(row["name"]),
        expression=str(row.get("query") or ""),
        for_seconds=float(row.get("duration") or 0.0),
        interval_seconds=interval_seconds,
        error=str(row.get("lastError") or ""),
    )


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


def _sample(row: Mapping[str, Any]) -> SeriesValue:
    labels = {str(name): str(value) for name, value in row["metric"].items()}
    return SeriesValue(labels, float(row["value"][1]))


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
        return _Answer(page.status, page.content if page.status == _OK else page.content[:_TOLD])


def _passing(error: Exception) -> float | None:
    """Return 0 for what may pass by itself: no connection, no answer in time, 429 and 5xx."""
    if found := _STATUS.match(str(error)):
        status = int(found[1])
        return 0.0 if status == _TOO_MANY or status >= 500 else None
    return 0.0 if str(error).startswith(_SILENT) else None
