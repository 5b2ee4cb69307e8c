"""The engines' own account of a load, read from them or from the Prometheus that scrapes them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from hotfire import bounded, metrics
from hotfire.crosscheck import TTFT, CrossCheck, cross_check
from hotfire.errors import HarnessError
from hotfire.history import Request
from hotfire.metrics import Metrics, Sample
from hotfire.profile import TargetProfile
from hotfire.prometheus import Prometheus
from hotfire.prometheus import Sample as Scraped
from hotfire.traffic import tls
from hotfire.traffic.launch import RunningLoad
from hotfire.waiting import until

Witness = Callable[[], Metrics | None]
_NAMES = "vllm:(time_to_first_token|request_time_per_output_token)_seconds_(count|sum|bucket)"
_SCRAPED_WITHIN_SECONDS = 20.0
_ROUNDS = 5
_MOST_LINES = 100_000
"""Of one page; an engine has a few hundred, and each becomes an object in memory."""
_NANO = 1_000_000_000
_CANARY = "canary"


def engine_at(url: str, *, ca_file: str = "", within_seconds: float = 5.0) -> Witness:
    """Return a witness that asks one engine; silent where there is no such page.

    An https page must be vouched for by the authorities in ``ca_file``; empty: the machine's.
    """
    parts = urlsplit(url)
    page_url = parts._replace(path=parts.path if parts.path.strip("/") else "/metrics").geturl()

    def look() -> Metrics | None:
        try:
            trusted = tls.context(ca_file) if parts.scheme == "https" else None
            page = bounded.get(page_url, deadline_seconds=within_seconds, trusted=trusted)
            if page.status != 200 or page.error or page.content.count(b"\n") > _MOST_LINES:
                return None
            return metrics.parse(page.content.decode(errors="replace"))
        except (OSError, HarnessError):
            return None

    return look


def prometheus_at(server: Prometheus) -> Witness:
    """Return a witness that asks a Prometheus about every engine it scrapes.

    Each look waits for scrapes younger than itself, so that nothing of what went before counts as
    the load's and nothing of the load is left out; and for two rounds of as many engines, since a
    new one is discovered only after it has answered somebody.
    """

    def scraped_since(began: float) -> int:
        stamps = [stamp.value for stamp in server.query(f"timestamp({TTFT}_count)")]
        return len(stamps) if stamps and min(stamps) >= began else 0

    def engines() -> int:
        began = time.time()
        return until(
            lambda: scraped_since(began),
            within_seconds=_SCRAPED_WITHIN_SECONDS,
            what="a new scrape of every engine",
            poll_seconds=0.5,
        )

    def look() -> Metrics | None:
        try:
            counts = [engines(), engines()]
            while counts[-1] != counts[-2] and len(counts) < _ROUNDS:
                counts.append(engines())
            found = server.query(f'{{__name__=~"{_NAMES}"}}')
        except HarnessError:
            return None
        return Metrics(tuple(map(_sample, found)))

    return look


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
    rows: Sequence[Request], server: Prometheus, *, start_ns: int, end_ns: int
) -> CrossCheck:
    """Return the cross-check of a stretch of a load, from what a Prometheus remembers of it.

    It may be asked long after: engines that have died since were there at the time.
    """
    try:
        before, after = _scrapes(server, start_ns), _scrapes(server, end_ns)
    except HarnessError:
        return cross_check(rows, None, None)
    sure = _began(rows, before.newest_ns, after.oldest_ns)
    possible = _began(rows, before.oldest_ns, after.newest_ns)
    return cross_check(sure, before.metrics, after.metrics, unsure=len(possible) - len(sure))


def _scrapes(server: Prometheus, at_ns: int) -> _Scrapes:
    at = at_ns / _NANO
    stamps = [one.value * _NANO for one in server.query(f"timestamp({TTFT}_count)", at_seconds=at)]
    found = server.query(f'{{__name__=~"{_NAMES}"}}', at_seconds=at)
    metrics = Metrics(tuple(map(_sample, found)))
    return _Scrapes(metrics, min(stamps, default=at_ns), max(stamps, default=at_ns))


def _began(rows: Sequence[Request], after_ns: float, until_ns: float) -> list[Request]:
    return [row for row in rows if row.first_ns and after_ns < row.first_ns <= until_ns]


def _sample(one: Scraped) -> Sample:
    labels = dict(one.labels)
    return Sample(name=labels.pop("__name__"), value=one.value, labels=labels)


def compared(
    load: RunningLoad,
    witness: Witness,
    before: Metrics | None,
    *,
    unheard: frozenset[str] = frozenset(),
) -> CrossCheck:
    """Return the cross-check of a load that has ended, and write it beside the history.

    ``unheard`` are the servers, as ``served_by`` names them, that the witness does not ask.
    """
    rows = (row for row in load.stream() if row.served_by not in unheard)
    # Who said nothing before has nothing to compare, and an operator waits for the answer.
    after = witness() if before is not None else None
    found = cross_check(rows, before, after)
    load.files.crosscheck.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return found
