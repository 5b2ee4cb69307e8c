"""Queued jobs in the shape of OpenAI's Batch API, as a client sends and fetches them.

Whatever the target does comes back as data, as with the endpoint that this goes through.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from hotfire.endpoint import Endpoint, Recorder, Reply
from hotfire.jobs import Jobs
from hotfire.profile import TargetProfile

CHAT: Final = "/v1/chat/completions"
FILES: Final = "/v1/files"
BATCHES: Final = "/v1/batches"
_OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_SUCCESSES: Final = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch, as the target tells of it."""

    name: str
    status: str
    total: int
    completed: int
    failed: int
    files: tuple[str, ...] = ()
    """Of its answers and of its errors, as far as there are any."""

    @classmethod
    def of(cls, reply: Reply) -> Self | None:
        """Return the batch that is told of; None where none is."""
        body: Mapping[str, Any] = reply.body or {}
        if not (reply.ok and body.get("object") == "batch" and body.get("id")):
            return None
        counts = body.get("request_counts") or {}
        files = (body.get("output_file_id"), body.get("error_file_id"))
        return cls(
            name=str(body["id"]),
            status=str(body.get("status")),
            total=int(counts.get("total") or 0),
            completed=int(counts.get("completed") or 0),
            failed=int(counts.get("failed") or 0),
            files=tuple(str(one) for one in files if one),
        )

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.status in _OVER

    @property
    def answered(self) -> int:
        """How many of its jobs have an answer, of whatever kind."""
        return self.completed + self.failed

    def __str__(self) -> str:
        return f"{self.status}, {self.answered} of {self.total} jobs answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What came of a batch that was sent."""

    reply: Reply
    """The last one that was given: of its file, if that was refused."""
    batch: Batch | None = field(default=None)
    """None: it was not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One line of a batch's answers."""

    job: str
    """Its ``custom_id``."""
    status: int | None
    """Of the response; None: it has none."""

    @property
    def ok(self) -> bool:
        """Whether the job was done."""
        return self.status in _SUCCESSES


class Batches:
    """A client of the API of queued jobs, one request at a time."""

    def __init__(self, endpoint: Endpoint, *, window: str) -> None:
        """Send through an endpoint, whose model the jobs are for."""
        self._endpoint, self._window = endpoint, window

    @classmethod
    def of(cls, profile: TargetProfile, jobs: Jobs, *, record: Recorder | None = None) -> Self:
        """Return a client of a target's queued jobs, to be closed.

        Raises:
            ProfileError: a secret or a file that the target file names cannot be read.
        """
        model = profile.engine.model_copy(update={"model": jobs.model or profile.engine.model})
        way_in = {"gateway": jobs.gateway or profile.gateway, "engine": model}
        endpoint = Endpoint.of(profile.model_copy(update=way_in), record=record)
        return cls(endpoint, window=jobs.completion_window)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._endpoint.close()

    @property
    def base_url(self) -> str:
        """What comes before ``/v1``."""
        return self._endpoint.base_url

    def submit(self, jobs: Iterable[str], *, max_tokens: int) -> Submitted:
        """Send a batch of one chat for each of these names, which tell their answers apart."""
        sent = self._upload("".join(self._line(one, max_tokens) for one in jobs).encode())
        if not sent.ok or not sent.body:
            return Submitted(reply=sent)
        asked = {"input_file_id": sent.body.get("id"), "endpoint": CHAT}
        content = json.dumps(asked | {"completion_window": self._window}).encode()
        reply = self._endpoint.post_raw(BATCHES, content)
        return Submitted(reply=reply, batch=Batch.of(reply))

    def look(self, name: str) -> Reply:
        """Ask for a batch."""
        return self._endpoint.get(f"{BATCHES}/{name}")

    def content(self, file: str) -> Reply:
        """Fetch a file."""
        return self._endpoint.get(f"{FILES}/{file}/content")

    def _line(self, job: str, max_tokens: int) -> str:
        messages = [{"role": "user", "content": f"Job {job}"}]
        body = {"model": self._endpoint.model, "messages": messages, "max_tokens": max_tokens}
        line = {"custom_id": job, "method": "POST", "url": CHAT, "body": body}
        return json.dumps(line) + "\n"

    def _upload(self, content: bytes) -> Reply:
        """Send a file, as browsers send forms."""
        edge = uuid.uuid4().hex
        form = (
            f'--{edge}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="jobs.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        body = form.encode() + content + f"\r\n--{edge}--\r\n".encode()
        kind = f"multipart/form-data; boundary={edge}"
        return self._endpoint.post_raw(FILES, body, headers={"content-type": kind})


def answers(content: bytes) -> Iterator[Answer]:
    """Yield what the lines of an output file say; what is no such line says nothing."""
    for line in content.splitlines():
        try:
            document = json.loads(line)
            name, response = str(document["custom_id"]), document.get("response") or {}
            yield Answer(job=name, status=response.get("status_code"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
