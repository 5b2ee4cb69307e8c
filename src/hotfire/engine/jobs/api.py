"""The API of queued jobs, in the shape of OpenAI's: files of requests, and batches of them.

    python -m hotfire.engine.jobs.api PORT

It keeps nothing itself. What it has accepted lies in the queue as a whole; while the queue does not
answer, nothing is accepted, and whoever asks is told at once when to come again.

Its environment: QUEUE is HOST[:PORT] of the Redis.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email import message_from_bytes
from http import HTTPStatus

from hotfire.engine.jobs import queue
from hotfire.engine.jobs.queue import Json
from hotfire.engine.jobs.resp import Redis
from hotfire.engine.rag.part import Answer, Call, Metrics, in_json, refused, serve

# By then a Redis that is there has said so: far below the second in which a client wants to know.
NOTICED_SECONDS = 0.5
# A batch of thousands takes longer to be written than a PING.
WRITTEN_SECONDS = 5.0
RETRY_AFTER = {"Retry-After": "1"}
OUTPUT, ERRORS = "-output", "-errors"
LINES_TYPE = "application/jsonl"
_ENDPOINT = "/v1/chat/completions"
_NOTHING = refused(HTTPStatus.NOT_FOUND, "Nothing is here.")


@dataclass(frozen=True)
class Api:
    """Takes jobs, and tells what became of them."""

    queue: str

    def answer(self, call: Call) -> Answer:
        """Answer one request; whatever comes before ``/v1`` is the route's business."""
        words = call.path.partition("?")[0].strip("/").split("/")
        try:
            with Redis(self.queue, within_seconds=NOTICED_SECONDS) as redis:
                redis.ask("PING")
                redis.wait(WRITTEN_SECONDS)
                return Asked(redis, call).answer(words[words.index("v1") + 1 :])
        except OSError as error:
            away = refused(HTTPStatus.SERVICE_UNAVAILABLE, f"The queue does not answer: {error}")
            return replace(away, headers=RETRY_AFTER)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return refused(HTTPStatus.BAD_REQUEST, f"That is no such request: {error!r}")


@dataclass(frozen=True)
class Asked:
    """One request, and the queue that it is about."""

    redis: Redis
    call: Call

    def answer(self, words: Sequence[str]) -> Answer:
        """Answer it, by what its path says below ``/v1``."""
        match self.call.method, *words:
            case "POST", "files":
                return self._file_taken()
            case "GET", "files", name:
                about = queue.file_about(self.redis, name)
                return in_json(about) if about else _NOTHING
            case "GET", "files", name, "content":
                return self._content(name)
            case "POST", "batches":
                return self._batch_taken()
            case "GET", "batches", name:
                batch = queue.batch_about(self.redis, name)
                return in_json(self._so_far(batch)) if batch else _NOTHING
        return _NOTHING

    def _file_taken(self) -> Answer:
        kind = self.call.headers["content-type"]
        message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + self.call.body)
        parts = {one.get_param("name", header="content-disposition"): one for one in message.walk()}
        content = parts["file"].get_payload(decode=True)
        if not isinstance(content, bytes):
            raise TypeError("file")
        about = {
            "id": f"file-{uuid.uuid4().hex}",
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": parts["file"].get_filename() or "",
            "purpose": "batch",
        }
        queue.keep_file(self.redis, str(about["id"]), content, about)
        return in_json(about)

    def _batch_taken(self) -> Answer:
        asked = json.loads(self.call.body)
        content = queue.file_content(self.redis, asked["input_file_id"])
        if content is None:
            return refused(HTTPStatus.BAD_REQUEST, "There is no such file.")
        lines = [json.loads(line) for line in content.splitlines() if line.strip()]
        if wrong := _wrong(lines, asked["endpoint"]):
            return refused(HTTPStatus.BAD_REQUEST, wrong)
        batch = {
            "id": f"batch_{uuid.uuid4().hex}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "created_at": int(time.time()),
            "request_counts": {"total": len(lines)},
        }
        queue.accept(self.redis, batch, lines)
        return in_json(self._so_far(batch))

    def _so_far(self, batch: Json) -> Json:
        """Return a batch as it is now: its files are there once each job has its result."""
        name, total = batch["id"], batch["request_counts"]["total"]
        done, failed = queue.finished(self.redis, name), 0
        told: Json = {"status": "in_progress", "output_file_id": None, "error_file_id": None}
        if done >= total:
            failed = sum(not _good(one) for one in queue.results(self.redis, name))
            told["status"] = "completed"
            told["output_file_id"] = f"{name}{OUTPUT}" if failed < total else None
            told["error_file_id"] = f"{name}{ERRORS}" if failed else None
        counts = {"total": total, "completed": done - failed, "failed": failed}
        return {**batch, **told, "request_counts": counts}

    def _content(self, name: str) -> Answer:
        for ending, good in ((OUTPUT, True), (ERRORS, False)):
            if name.endswith(ending):
                found = queue.results(self.redis, name.removesuffix(ending))
                lines = [json.dumps(one) + "\n" for one in found if _good(one) is good]
                return Answer(HTTPStatus.OK, "".join(lines).encode(), kind=LINES_TYPE)
        content = queue.file_content(self.redis, name)
        return _NOTHING if content is None else Answer(HTTPStatus.OK, content, kind=LINES_TYPE)


def _good(line: Json) -> bool:
    return bool(line["response"]["status_code"] == HTTPStatus.OK)


def _wrong(lines: Sequence[Json], endpoint: str) -> str:
    """Return why some lines are no batch; empty: they are one."""
    if endpoint != _ENDPOINT:
        return f"Jobs are asked for {_ENDPOINT} here."
    if any((one["method"], one["url"]) != ("POST", endpoint) for one in lines):
        return "Each line asks for the batch's endpoint."
    names = {str(one["custom_id"]) for one in lines if isinstance(one["body"], dict)}
    return "" if lines and len(names) == len(lines) else "Each line has a custom_id of its own."


def main(port: str) -> None:
    """Answer until the process is ended."""
    serve(int(port), Api(os.environ["QUEUE"]).answer, Metrics())


if __name__ == "__main__":
    main(*sys.argv[1:])
