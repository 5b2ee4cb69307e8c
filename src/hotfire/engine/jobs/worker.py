"""A worker of the queue: it takes jobs, asks the engine, and keeps each answer.

    python -m hotfire.engine.jobs.worker

Its environment: QUEUE is HOST[:PORT] of the Redis, ENGINE a URL, LEASE_SECONDS after how long a job
that nobody has acknowledged is given to another worker, AT_ONCE how many it works on at a time.
"""

import http.client
import json
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import urlsplit

from hotfire.engine.jobs import queue
from hotfire.engine.jobs.queue import Job, Json
from hotfire.engine.jobs.resp import Redis

ENGINE_SECONDS, QUEUE_SECONDS, PAUSE_SECONDS = 60.0, 3.0, 0.5
MOST_BYTES = 1 << 20


class UnansweredError(Exception):
    """The engine has no room, or is not there; somebody will ask again."""


@dataclass(frozen=True)
class Worker:
    """One of those who empty the queue."""

    queue: str
    engine: str
    lease_seconds: float
    at_once: int

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return what the environment says; raises KeyError where it lacks something."""
        return cls(
            queue=environment["QUEUE"],
            engine=environment["ENGINE"],
            lease_seconds=float(environment["LEASE_SECONDS"]),
            at_once=int(environment["AT_ONCE"]),
        )

    def run(self) -> None:
        """Work until the process is ended."""
        threads = [Thread(target=self.work) for _ in range(self.at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def work(self) -> None:
        """Take one job after the other, over a new connection where one is lost."""
        name, waiting = uuid.uuid4().hex, Event()
        while True:
            try:
                with Redis(self.queue, within_seconds=QUEUE_SECONDS) as redis:
                    queue.prepare(redis)
                    while True:
                        for job in queue.take(redis, name, lease_seconds=self.lease_seconds):
                            self.finish(redis, job)
            except (OSError, UnansweredError) as error:
                sys.stdout.write(f"trying again: {error}\n")
                sys.stdout.flush()
                waiting.wait(PAUSE_SECONDS)

    def finish(self, redis: Redis, job: Job) -> None:
        """Do a job; acknowledged is what has its result kept, and nothing before."""
        result = self.answered(job)
        queue.keep_result(redis, job, result)
        queue.acknowledge(redis, job)

    def answered(self, job: Job) -> Json:
        """Return a job's line of the output.

        Raises:
            UnansweredError: the engine did not say anything that is an answer.
        """
        status, body = self._asked(job.line["url"], job.line["body"])
        response = {"status_code": status, "request_id": uuid.uuid4().hex, "body": body}
        line = {"id": f"batch_req_{uuid.uuid4().hex}", "custom_id": job.name}
        return {**line, "response": response, "error": None}

    def _asked(self, path: str, body: Json) -> tuple[int, Any]:
        parts = urlsplit(self.engine)
        engine = http.client.HTTPConnection(parts.netloc, timeout=ENGINE_SECONDS)
        try:
            engine.request("POST", parts.path + path, json.dumps(body), {"Connection": "close"})
            reply = engine.getresponse()
            found = json.loads(reply.read(MOST_BYTES))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UnansweredError(f"the engine does not answer: {error!r}") from error
        finally:
            engine.close()
        if (
            reply.status == HTTPStatus.TOO_MANY_REQUESTS
            or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            raise UnansweredError(f"the engine answers {reply.status}")
        return reply.status, found


if __name__ == "__main__":
    Worker.of_environment(os.environ).run()
