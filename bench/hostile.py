"""Hostile peers against every reader of one: load, Endpoint, metrics page and Prometheus.

    python -m bench.hostile

For each peer and reader: what the reader made of it, how long it took, and how much memory its
process had at most. Every reader must give up within its deadline and a second, in under 250 MB.
"""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench.judged import Judged, told
from tests.hostile_peer import Pieces, answering

DEADLINE_SECONDS = 3.0
MARGIN_SECONDS = 1.0
MOST_MEGABYTES = 250
_HANG_SECONDS = 90
_OK = b"HTTP/1.1 200 OK\r\n"
_SSE = _OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_JSON = _OK + b"content-type: application/json\r\n"


def _drip(head: bytes, again: bytes) -> Pieces:
    def pieces() -> Iterator[bytes | float]:
        yield head
        while True:
            yield again
            yield 0.2

    return pieces


def _flood(head: bytes, again: bytes) -> Pieces:
    def pieces() -> Iterator[bytes]:
        yield head
        while True:
            yield again

    return pieces


def _whole(body: bytes, head: bytes = _JSON) -> Pieces:
    return lambda: [head + b"content-length: %d\r\n\r\n" % len(body), body]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


PEERS: dict[str, Pieces] = {
    "says nothing": _drip(b"", b""),
    "a header, a byte at a time": _drip(_OK + b"x-a: ", b"a"),
    "100 Continue without end": _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body, a byte at a time": _drip(_OK + b"\r\n", b"# \n"),
    "a stream, a byte at a time": _drip(_SSE, b"1\r\nd\r\n"),
    "a body without end": _flood(_OK + b"\r\n", b"a" * 65536),
    "comments without end": _flood(_SSE, _chunk(b": ping\n\n" * 8192)),
    "chunks of one byte without end": _flood(_SSE, b"1\r\na\r\n" * 8192),
    "header lines without end": _flood(_OK, b"a: b\r\n" * 8192),
    "a packed answer of 400 MB": _whole(
        gzip.compress(bytes(400 << 20), 9), _JSON + b"content-encoding: gzip\r\n"
    ),
    "JSON nested 100,000 deep": _whole(b"[" * 100_000),
    "JSON of a million objects": _whole(b"[" + b"{}," * 1_000_000 + b"{}]"),
    "a million samples": _whole(b"a 1\n" * 1_000_000, _OK),
    "a label without end": _whole(b'a{b="' + b"c" * 4_000_000, _OK),
    "a line of labels": _whole(b"a{" + b'b="c",' * 500_000 + b"} 1\n", _OK),
    "a line of spaces": _whole(b"a" + b" " * 60_000 + b"b c d\n", _OK),
    "half a surrogate pair": _whole(b'{"choices":[{"message":{"content":"\\ud83d"}}]}'),
    "a redirect to itself": lambda: [b"HTTP/1.1 302 x\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"],
    "no HTTP": lambda: [b"\x00\xff" * 50_000],
}

_MEASURED = """
import json, resource, sys, time, tempfile
from pathlib import Path
url, deadline = sys.argv[1], float(sys.argv[2])
{imports}
began = time.monotonic()
{asked}
spent = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
print(json.dumps([str(said)[:60], spent, max(peak, children)]))
"""
READERS = {
    "endpoint": _MEASURED.format(
        imports="from hotfire.endpoint import Endpoint\nfrom hotfire.evidence import Evidence",
        asked="""
seen = Evidence(Path(tempfile.mkdtemp()))
reply = Endpoint(url, "m", deadline_seconds=deadline, record=seen.exchange).chat("Hi.")
seen.record("body", reply.body)
said = reply.error or f"status {reply.status}\"""",
    ),
    "metrics": _MEASURED.format(
        imports="from hotfire.traffic.witnesses.witness import engine_at",
        asked="""
found = engine_at(url, within_seconds=deadline)()
said = getattr(found, "reason", None) or f"{len(found.samples)} samples\"""",
    ),
    "prometheus": _MEASURED.format(
        imports="""
from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus
server = Prometheus(url, within_seconds=deadline)""",
        asked="""
try:
    said = server.query("up")
except HarnessError as error:
    said = str(error).split("up: ")[-1]""",
    ),
    "load": _MEASURED.format(
        imports="""
from hotfire.measure import history
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import LoadPlan
folder = Path(tempfile.mkdtemp())
fields = {"rate_per_second": 4, "duration_seconds": 1, "deadline_seconds": deadline}
plan = LoadPlan(url=url, model="m", **fields)
load = launch.start(plan, history=folder / "load.jsonl", log=folder / "log")
load.wait_started()""",
        asked="""
load.wait_finished(60)
rows = history.load(load.files.history)
said = sorted({str(row.error_class) for row in rows})
began = time.monotonic() - max((row.end_ns - row.sched_ns) * 1e-9 for row in rows)""",
    ),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reader made of one peer."""

    peer: str
    reader: str
    said: str
    seconds: float
    megabytes: float


def outcome(peer: str, reader: str, url: str) -> Outcome:
    """Return what a reader in a process of its own made of a peer."""
    command = [sys.executable, "-c", READERS[reader], url, str(DEADLINE_SECONDS)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_HANG_SECONDS, check=True
        )
        said, seconds, megabytes = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        said, seconds, megabytes = "hung", float(_HANG_SECONDS), float("nan")
    except (subprocess.CalledProcessError, ValueError) as error:
        last = str(getattr(error, "stderr", error)).strip().splitlines()[-1:]
        said, seconds, megabytes = f"RAISED {last}", float("nan"), float("nan")
    return Outcome(peer, reader, said, seconds, megabytes)


def outcomes() -> Iterator[Outcome]:
    """Yield every reader against every peer, and print each."""
    for peer, pieces in PEERS.items():
        for reader in READERS:
            with ExitStack() as stack:
                one = outcome(peer, reader, stack.enter_context(answering(pieces)))
            print(
                f"{one.peer:32} {one.reader:11} {one.seconds:6.2f} s {one.megabytes:5.0f} MB "
                f" {one.said}",
                flush=True,
            )
            yield one


def judged() -> Iterator[Judged]:
    """Yield whether all of them stayed within their bounds."""
    found = list(outcomes())
    limit = DEADLINE_SECONDS + MARGIN_SECONDS
    late = [one for one in found if not one.seconds <= limit]
    large = [one for one in found if not one.megabytes <= MOST_MEGABYTES]
    yield Judged(what="readers that took longer than their deadline", measured=len(late), limit=0)
    yield Judged(what="readers that needed 250 MB or more", measured=len(large), limit=0)


def main() -> int:
    """Run everything; 0 if all stayed within their bounds."""
    lines = list(judged())
    print(told(lines))
    return 0 if all(line.met for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
