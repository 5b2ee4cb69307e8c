"""The engines' own account of a load, read from them or from the Prometheus that scrapes them."""

import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from hotfire import metrics
from hotfire.crosscheck import TTFT, CrossCheck, cross_check
from hotfire.errors import HarnessError
from hotfire.metrics import Metrics, Sample
from hotfire.prometheus import Prometheus
from hotfire.prometheus import Sample as Scraped
from hotfire.traffic import tls
from hotfire.traffic.launch import RunningLoad
from hotfire.waiting import until

Witness = Callable[[], Metrics | None]
_NAMES = "vllm:(time_to_first_token|request_time_per_output_token)_seconds_(count|sum|bucket)"
_SCRAPED_WITHIN_SECONDS = 20.0
_ROUNDS = 5


def engine_at(url: str, *, ca_file: str = "", within_seconds: float = 5.0) -> Witness:
    """Return a witness that asks one engine; silent where there is no such page.

    An https page must be vouched for by the authorities in ``ca_file``; empty: the machine's.
    """
    parts = urlsplit(url)

    def look() -> Metrics | None:
        connection = HTTPConnection(parts.netloc, timeout=within_seconds)
        try:
            if parts.scheme == "https":
                trusted = tls.context(ca_file)
                connection = HTTPSConnection(parts.netloc, timeout=within_seconds, context=trusted)
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
