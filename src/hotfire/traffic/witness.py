"""The engines' own account of a load, read from them or from the Prometheus that scrapes them."""

from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from hotfire import metrics
from hotfire.crosscheck import TTFT, CrossCheck, cross_check
from hotfire.errors import HarnessError
from hotfire.metrics import Metrics, Sample
from hotfire.prometheus import Prometheus
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
    """Return a witness that asks a Prometheus about every engine it scrapes."""

    def look() -> Metrics | None:
        try:
            found = server.query(f'{{__name__=~"{_NAMES}"}}')
        except HarnessError:
            return None
        samples = (
            Sample(
                name=one.labels["__name__"],
                value=one.value,
                labels={key: value for key, value in one.labels.items() if key != "__name__"},
            )
            for one in found
        )
        return Metrics(tuple(samples))

    return look


def compared(
    load: RunningLoad,
    witness: Witness,
    before: Metrics | None,
    *,
    unheard: frozenset[str] = frozenset(),
) -> CrossCheck:
    """Return the cross-check of a load that has ended, once its last request was scraped.

    ``unheard`` are the servers, as ``served_by`` names them, that the witness does not ask. The
    result is written beside the history.
    """
    rows = [row for row in load.rows() if row.served_by not in unheard]
    expected = sum(row.first_ns is not None for row in rows)

    def counted() -> bool:
        after = witness()
        if before is None or after is None:
            return True
        return (metrics.increase(before, after, f"{TTFT}_count") or 0) >= expected

    # What is missing stays missing, and the cross-check says so.
    with suppress(HarnessError):
        until(
            counted,
            within_seconds=_SCRAPED_WITHIN_SECONDS,
            what="the engines' own count",
            poll_seconds=1.0,
        )
    found = cross_check(rows, before, witness())
    load.files.crosscheck.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return found
