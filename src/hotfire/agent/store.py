"""A model store that gives this node less than before, and how much it gives."""

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hotfire.agent import arguments, nft
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

# nft's bucket holds what the limit lets pass in a second: that long a full one does not count.
_SKIPPED_SECONDS, _MEASURED_SECONDS = 1.0, 1.5
_ANSWER_SECONDS = 4.0
_CHUNK_BYTES, _MANIFEST_BYTES = 1 << 16, 4 << 20
# What may come at once beside it: a few packets, or 50 ms of the rate.
_BURST_BYTES, _BURST_SECONDS = 16_384, 0.05
_LOWEST_BYTES_PER_SECOND = 1_000.0
_LONGEST_SECONDS = 3_600.0
_TROUBLE = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class _File:
    """The largest file of a model, and the store that has it."""

    host: str
    port: int
    path: str
    size_bytes: int = 0


class Slow:
    """Drop what comes from the store of ``url`` above ``percent`` of what it gives now.

    The rate is lower still where the largest file would otherwise be there before
    ``fetch_seconds``: a small model would not show a store that is slow for others.

    A queue, which would hold it back instead, is had on the way out only: on this node's way in to
    its pods there is none, and each pod has a link of its own that comes and goes with it. A
    connection whose packets are dropped above a rate settles below that.
    """

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a store that is limited already: nobody would know what it gave before."""
        arguments.only(args, {"url", "percent", "fetch_seconds"})
        _url(args)
        _limit(args, 0, 0)
        if mine := [one.id for one in others if one.op == "store.slow"]:
            raise OperationError(f"the store is slow already, by {mine[0]}; heal that first")

    def aim(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        """Return what the store gives now, by which file, and to how much that is limited."""
        url = _url(args)
        try:
            file = _largest(url)
            gives = _given(file)
        except _TROUBLE as error:
            raise OperationError(f"{args['url']}: {error}") from error
        if not gives:
            raise OperationError(f"{args['url']} gives nothing already")
        limit = _limit(args, gives, file.size_bytes)
        return {"file": asdict(file), "bytes_per_second": gives, "limit_bytes_per_second": limit}

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Install the limit in one transaction."""
        url, limit = _url(entry.args), int(entry.observed["limit_bytes_per_second"])
        burst = max(_BURST_BYTES, round(limit * _BURST_SECONDS))
        chain = (
            "chain prerouting { type filter hook prerouting priority -310; policy accept;\n"
            f"ip saddr {url.host} tcp sport {url.port}"
            f" limit rate over {limit} bytes/second burst {burst} bytes counter drop\n}}\n"
        )
        nft.install(host, "inet", nft.table(entry), chain)
        return {"table": nft.table(entry)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Remove the limit, if it is there."""
        nft.remove(host, "inet", nft.table(entry))

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the limit is gone."""
        return not nft.present(host, "inet", nft.table(entry))


def share(entry: Entry) -> dict[str, Any]:
    """Return how many ``percent`` of before the store of an entry gives this node now."""
    if entry.op != "store.slow":
        raise OperationError(f"{entry.id} is of {entry.op}, not of store.slow")
    file, before = _File(**entry.observed["file"]), float(entry.observed["bytes_per_second"])
    try:
        return {"percent": 100 * _given(file) / before}
    except _TROUBLE as error:
        raise OperationError(f"{file.host}:{file.port}: {error}") from error


def _given(file: _File) -> float:
    """Return the bytes in a second as which a file comes, asked for again and again.

    Raises:
        OSError: the store does not answer.
    """
    began, counted = time.monotonic(), 0
    counts_from = began + _SKIPPED_SECONDS
    ends = counts_from + _MEASURED_SECONDS
    try:
        for size in _endless(file, ends):
            if time.monotonic() >= counts_from:
                counted += size
            if time.monotonic() >= ends:
                break
    except TimeoutError:
        # Nothing more came until the end: that is slow, too.
        pass
    return counted / max(_MEASURED_SECONDS, time.monotonic() - counts_from)


def _endless(file: _File, ends: float) -> Iterator[int]:
    """Yield the sizes of what comes, as it comes, for as long as somebody asks."""
    while True:
        with _answer(file, ends) as answer:
            if answer.length == 0:
                raise ValueError(f"{file.path} has no bytes")
            while chunk := answer.read1(_CHUNK_BYTES):
                yield len(chunk)


def _largest(url: _File) -> _File:
    """Return the largest file of a model, by its manifest."""
    manifest = _File(url.host, url.port, f"{url.path}/manifest.json")
    with _answer(manifest, time.monotonic() + _ANSWER_SECONDS) as answer:
        rows = json.loads(answer.read(_MANIFEST_BYTES))["files"]
    size, name = max((int(row["size_bytes"]), str(row["path"])) for row in rows)
    return _File(url.host, url.port, f"{url.path}/{urllib.parse.quote(name)}", size)


def _answer(file: _File, ends: float) -> http.client.HTTPResponse:
    """Return the store's answer, each part of which must have come when it ends."""
    seconds = max(0.05, ends - time.monotonic())
    connection = http.client.HTTPConnection(file.host, file.port, timeout=seconds)
    # The connection ends with its answer.
    connection.request("GET", file.path, headers={"Connection": "close"})
    answer = connection.getresponse()
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"{file.path}: HTTP {answer.status}")
    return answer


def _url(args: dict[str, Any]) -> _File:
    found = urllib.parse.urlsplit(str(args.get("url", "")))
    if found.scheme != "http":
        raise OperationError(f"url takes the http:// of a model, not {args.get('url')!r}")
    address = arguments.address({"address": found.hostname})
    return _File(address, found.port or http.client.HTTP_PORT, found.path.rstrip("/"))


def _limit(args: dict[str, Any], gives: float, size_bytes: int) -> int:
    """Return to how many bytes in a second a store is limited that gives so much now."""
    percent = arguments.number(args, "percent", above=0, at_most=99)
    seconds = arguments.number(args, "fetch_seconds", above=0, at_most=_LONGEST_SECONDS)
    return round(max(_LOWEST_BYTES_PER_SECOND, min(gives * percent / 100, size_bytes / seconds)))
