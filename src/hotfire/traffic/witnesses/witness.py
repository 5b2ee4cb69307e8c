"""The engines' own account of a load, read from them or from the Prometheus that scrapes them."""

import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from hotfire import bounded, causes, metrics, tls
from hotfire.engines.dialect import Dialect
from hotfire.errors import HarnessError, ProfileError
from hotfire.measure.crosscheck import UNTOLD, USUAL, CrossCheck, cross_check, not_comparable
from hotfire.measure.history import Request
from hotfire.metrics import Metrics, Sample
from hotfire.profile import TargetProfile
from hotfire.prometheus import Prometheus
from hotfire.prometheus import SeriesValue as Scraped
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.witnesses.scrapes import Scrapes


@dataclass(frozen=True, slots=True)
class Silence:
    """Why a witness said nothing, in words."""

    reason: str


Heard = Metrics | Silence
Witness = Callable[[], Heard]
_ROUNDS = 5
_MOST_LINES = 100_000
"""Of one page; an engine has a few hundred, and each becomes an object in memory."""
_NANO = 1_000_000_000
_CANARY = "canary"


def engine_at(url: str, *, ca_file: str = "", within_seconds: float = 5.0) -> Witness:
    """Return a witness that asks one engine; where there is no such page it tells why.

    An https page must be vouched for by the authorities in ``ca_file``; empty: the machine's.
    """
    parts = urlsplit(url)
    page_url = parts._replace(path=parts.path if parts.path.strip("/") else "/metrics").geturl()
    # What may be secret in a URL is not told.
    host = parts.netloc.rpartition("@")[2]
    told = urlsplit(page_url)._replace(netloc=host, query="", fragment="").geturl()

    def look() -> Heard:
        try:
            trusted = tls.context(ca_file=ca_file) if parts.scheme == "https" else None
            page = _page(page_url, trusted=trusted, within_seconds=within_seconds)
            if isinstance(page, Silence):
                return Silence(f"{told} {page.reason}")
            return metrics.parse(page)
        except (OSError, HarnessError, ProfileError) as error:
            return Silence(f"{told}: {causes.of_error(error)}")

    return look


def _page(url: str, *, trusted: ssl.SSLContext | None, within_seconds: float) -> str | Silence:
    """Return the text of a page, or why there is none."""
    page = bounded.get(url, deadline_seconds=within_seconds, trusted=trusted)
    if page.error is not None:
        raise HarnessError(page.error)
    if page.status != HTTPStatus.OK:
        return Silence(causes.of_status(page.status or 0))
    if page.content.count(b"\n") > _MOST_LINES:
        return Silence(f"has more than {_MOST_LINES} lines")
    return page.content.decode(errors="replace")


def prometheus_at(server: Prometheus, dialect: Dialect = USUAL) -> Witness:
    """Return a witness that asks a Prometheus about every engine it scrapes.

    Each look waits for scrapes younger than itself, so that nothing of what went before counts as
    the load's and nothing of the load is left out; and for two rounds of as many engines, since a
    new one is discovered only after it has answered somebody.
    """

    def look() -> Heard:
        if dialect.ttft is None:
            return Silence(UNTOLD)
        try:
            scrapes = Scrapes(server, dialect)
            counts = [scrapes.await_round(), scrapes.await_round()]
            while counts[-1] != counts[-2] and len(counts) < _ROUNDS:
                counts.append(scrapes.await_round())
            found = server.query(_histograms(dialect))
        except HarnessError as error:
            return Silence(str(error))
        return Metrics(tuple(map(_sample, found)))

    return look


def _histograms(dialect: Dialect) -> str:
    """Return the query for what the cross-check compares."""
    told = [one for one in (dialect.ttft, dialect.tpot) if one]
    # An older engine calls the same thing otherwise.
    names = [name for one in told for name in (one.name, *metrics.aliases(one.name))]
    return f'{{__name__=~"({"|".join(names)})_(count|sum|bucket)"}}'


def unheard(profile: TargetProfile | None) -> frozenset[str]:
    """Return the servers, as ``served_by`` names them, that a target's Prometheus does not scrape.

    The reference stack's canary is a scripted engine.
    """
    return frozenset({_CANARY}) if profile and profile.stack.deploy else frozenset()


@dataclass(frozen=True, slots=True)
class _Scrapes:
    """The last scrape of each engine before one moment; they are of different times."""

    metrics: Metrics
    oldest_ns: float
    newest_ns: float


def compared_between(
    rows: Sequence[Request],
    server: Prometheus,
    *,
    start_ns: int,
    end_ns: int,
    dialect: Dialect = USUAL,
) -> CrossCheck:
    """Return the cross-check of a stretch of a load, from what a Prometheus remembers of it.

    It may be asked long after: engines that have died since were there at the time.
    """
    if dialect.ttft is None:
        return not_comparable(_first_tokens(rows), UNTOLD)
    try:
        before, after = (_scrapes(server, at_ns, dialect) for at_ns in (start_ns, end_ns))
    except HarnessError as error:
        return not_comparable(_first_tokens(rows), str(error))
    if after.oldest_ns <= before.newest_ns:
        return not_comparable(_first_tokens(rows), _too_short(server, dialect, end_ns - start_ns))
    sure = _began(rows, before.newest_ns, after.oldest_ns)
    possible = _began(rows, before.oldest_ns, after.newest_ns)
    unsure = len(possible) - len(sure)
    return _compared(sure, before.metrics, after.metrics, dialect=dialect, unsure=unsure)


def _too_short(server: Prometheus, dialect: Dialect, length_ns: int) -> str:
    try:
        interval = Scrapes(server, dialect).interval_seconds()
    except HarnessError:
        interval = None
    every = f", and it scrapes every {interval:g} s" if interval else ""
    return (
        f"{length_ns / _NANO:.0f} s are too short: Prometheus at {server.url} has no two scrapes of"
        f" every engine around them{every}; make the measurement longer or the interval shorter"
    )


def _scrapes(server: Prometheus, at_ns: int, dialect: Dialect) -> _Scrapes:
    at, name = at_ns / _NANO, dialect.ttft.name if dialect.ttft else ""
    stamps = [one.value * _NANO for one in server.query(f"timestamp({name}_count)", at_seconds=at)]
    found = server.query(_histograms(dialect), at_seconds=at)
    metrics = Metrics(tuple(map(_sample, found)))
    return _Scrapes(metrics, min(stamps, default=at_ns), max(stamps, default=at_ns))


def _began(rows: Sequence[Request], after_ns: float, until_ns: float) -> list[Request]:
    return [row for row in rows if row.first_ns and after_ns < row.first_ns <= until_ns]


def _sample(one: Scraped) -> Sample:
    labels = dict(one.labels)
    return Sample(name=labels.pop("__name__", ""), value=one.value, labels=labels)


def compared(
    load: RunningLoad,
    witness: Witness,
    before: Heard | None,
    *,
    unheard: frozenset[str] = frozenset(),
    dialect: Dialect = USUAL,
) -> CrossCheck:
    """Return the cross-check of a load that has ended, and write it beside the history.

    ``unheard`` are the servers, as ``served_by`` names them, that the witness does not ask. Who was
    silent before the load is not asked again: there would be nothing to compare with.
    """
    rows = (row for row in load.stream() if row.served_by not in unheard)
    after = before if before is None or isinstance(before, Silence) else witness()
    found = _compared(rows, before, after, dialect=dialect)
    load.files.crosscheck.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return found


def _compared(
    rows: Iterable[Request],
    before: Heard | None,
    after: Heard | None,
    *,
    dialect: Dialect,
    unsure: int = 0,
) -> CrossCheck:
    """Return the cross-check, with the reason of whoever was silent and what could not be read."""
    for one in (before, after):
        if isinstance(one, Silence):
            return not_comparable(_first_tokens(rows), one.reason)
    if not isinstance(before, Metrics) or not isinstance(after, Metrics):
        return not_comparable(_first_tokens(rows), "nobody asked the engines before the load")
    if dialect.ttft is None:
        return not_comparable(_first_tokens(rows), UNTOLD)
    unread = [*before.malformed, *after.malformed]
    note = f"; {len(unread)} of their lines could not be read, {unread[0]}" if unread else ""
    for when, one in (("at the start", before), ("at the end", after)):
        if one.count(dialect.ttft.name) is None:
            missing = f"{when} the engines told no {dialect.ttft.name}_count{note}"
            return not_comparable(_first_tokens(rows), missing)
    found = cross_check(rows, before, after, dialect=dialect, unsure=unsure)
    return found.model_copy(update={"reason": found.reason + note})


def _first_tokens(rows: Iterable[Request]) -> int:
    return sum(row.first_ns is not None for row in rows)
