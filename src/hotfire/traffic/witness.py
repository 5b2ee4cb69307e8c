"""The engines' own account of a load, read from them or from the Prometheus that scrapes them."""

import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from hotfire import metrics
from hotfire.crosscheck import TTFT, CrossCheck, cross_check
from hotfire.errors import HarnessError
from hotfire.metrics import Metrics, Sample
from hotfire.prometheus import Prometheus
from hotfire.prometheus import Sample as Scraped
from hotfire.traffic.launch import RunningLoad
from hotfire.waiting import until

Witness = Callable[[], Metrics | None]
_NAMES = "vllm:(time_to_first_token|request_time_per_output_token)_seconds_(count|sum|bucket)"
_SCRAPED_WITHIN_SECONDS = 20.0


def engine_at(url: str, *, within_seconds: float = 5.0) -> Witness:
    """Return a witness that asks one engine; silent where there is no such page."""
    parts = urlsplit(url)

    def look() -> Metrics | None:
        connection = HTTPConnection(parts.netloc, timeout=within_seconds)
        try:
            connection.request("GET", parts.path or "/metrics")
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            return metrics.parse(text) if response.status == 200 else None
        except (OSError, HTTPException, HarnessError):
            return None
        finally:
            connection.close()

    return look


def prometheus_at(server: Prometheus) -> Witness:
    """Return a witness that asks a Prometheus about every engine it scrapes.

    Each look waits for a scrape of every engine that is younger than the look itself, so that
    nothing of what went before counts as the load's, and nothing of the load is left out.
    """

    def scraped_since(began: float) -> bool:
        stamps = server.query(f"timestamp({TTFT}_count)")
        return bool(stamps) and min(stamp.value for stamp in stamps) >= began

    def look() -> Metrics | None:
        began = time.time()
        try:
            until(
                lambda: scraped_since(began),
                within_seconds=_SCRAPED_WITHIN_SECONDS,
                what="a new scrape of every engine",
                poll_seconds=0.5,
            )
            found = server.query(f'{{__name__=~"{_NAMES}"}}')
        except HarnessError:
            return None
        return Metrics(tuple(map(_sample, found)))

    return look


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
    rows = [row for row in load.rows() if row.served_by not in unheard]
    found = cross_check(rows, before, witness())
    load.files.crosscheck.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return found
