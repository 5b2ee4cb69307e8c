"""The queue: what was accepted, who works on it, and the one result of each job.

A job lies in a Redis stream until whoever took it acknowledges it, which comes after its result is
kept. Of a worker that dies in between nothing comes; when its lease is over another one takes the
job. Two may then have done it: the first result is the one that counts.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hotfire.engine.jobs.resp import Redis, RefusedError

JOBS, GROUP = "jobs", "workers"
_WAIT_MILLISECONDS = 500
Json = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One line of a batch, as a worker took it."""

    entry: bytes
    """Its place in the stream."""
    batch: str
    line: Json

    @property
    def name(self) -> str:
        """By what its client tells it from the others of its batch."""
        return str(self.line["custom_id"])


def keep_file(redis: Redis, name: str, content: bytes, about: Json) -> None:
    """Keep a file, and what is told of it."""
    redis.ask("HSET", _file(name), "content", content, "about", json.dumps(about))


def file_about(redis: Redis, name: str) -> Json | None:
    """Return what is told of a file; None: there is none."""
    return _document(redis.ask("HGET", _file(name), "about"))


def file_content(redis: Redis, name: str) -> bytes | None:
    """Return a file; None: there is none."""
    found: bytes | None = redis.ask("HGET", _file(name), "content")
    return found


def accept(redis: Redis, batch: Json, lines: Iterable[Json]) -> None:
    """Queue all jobs of a batch, or none."""
    name = batch["id"]
    queued = (
        ("XADD", JOBS, "*", "batch", name, "line", json.dumps(line)) for line in lines
    )  # fmt: skip
    redis.together(("SET", _batch(name), json.dumps(batch)), *queued)


def batch_about(redis: Redis, name: str) -> Json | None:
    """Return a batch as it was accepted; None: there is none."""
    return _document(redis.ask("GET", _batch(name)))


def finished(redis: Redis, name: str) -> int:
    """Return how many jobs of a batch have their result."""
    count: int = redis.ask("HLEN", _results(name))
    return count


def results(redis: Redis, name: str) -> list[Json]:
    """Return the results of a batch that there are."""
    return [json.loads(one) for one in redis.ask("HVALS", _results(name))]


def prepare(redis: Redis) -> None:
    """Have the group of workers, of which each job is given to one."""
    try:
        redis.ask("XGROUP", "CREATE", JOBS, GROUP, "0", "MKSTREAM")
    except RefusedError as error:
        if "BUSYGROUP" not in str(error):
            raise


def take(redis: Redis, worker: str, *, lease_seconds: float) -> list[Job]:
    """Return at most one job: one that nobody has acknowledged in time, else the next one."""
    lease = round(lease_seconds * 1000)
    left = redis.ask("XAUTOCLAIM", JOBS, GROUP, worker, lease, "0", "COUNT", 1)[1]
    if left:
        return _jobs(left)
    came = redis.ask(
        *("XREADGROUP", "GROUP", GROUP, worker, "COUNT", 1),
        *("BLOCK", _WAIT_MILLISECONDS, "STREAMS", JOBS, ">"),
    )
    return _jobs(came[0][1]) if came else []


def keep_result(redis: Redis, job: Job, result: Json) -> None:
    """Keep what came of a job, unless it has its result already."""
    redis.ask("HSETNX", _results(job.batch), job.name, json.dumps(result))


def acknowledge(redis: Redis, job: Job) -> None:
    """Say that a job is done: nobody is given it again."""
    redis.together(("XACK", JOBS, GROUP, job.entry), ("XDEL", JOBS, job.entry))


def _jobs(entries: Sequence[Sequence[Any]]) -> list[Job]:
    found = []
    for entry, fields in entries:
        told = dict(zip(fields[::2], fields[1::2], strict=True))
        found.append(Job(entry, told[b"batch"].decode(), json.loads(told[b"line"])))
    return found


def _document(text: bytes | None) -> Json | None:
    if text is None:
        return None
    found: Json = json.loads(text)
    return found


def _file(name: str) -> str:
    return f"file:{name}"


def _batch(name: str) -> str:
    return f"batch:{name}"


def _results(name: str) -> str:
    return f"results:{name}"
