"""The router in front of prefill and decode pods: one reads a prompt, another one answers it.

    python -m hotfire.engine.disaggregated.router PORT

As llm-d's routing sidecar does it, a prefill pod is asked for one token and for where the prompt's
KV blocks lie, then a decode pod for the answer. A prompt that is read keeps memory until its KV
blocks are taken: so that no more are read than are, it lets in a number of them for each decode pod
that there is, and the others wait.

Its environment: PREFILL and DECODE are HOST:PORT of the pods, several separated by commas, each of
which may be many; PREFILLS_PER_DECODE is how many prompts may be read and not yet answered for each
decode pod, QUEUE_SECONDS how long one more waits.
"""

import http.client
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from itertools import count
from socket import SOCK_STREAM, gaierror, getaddrinfo
from typing import Any

from hotfire.engine.rag.part import JSON_TYPE, Answer, Call, Metrics, refused, serve

Json = dict[str, Any]
GENERATIONS = ("/v1/chat/completions", "/v1/completions")
TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")
REQUEST_ID = "x-request-id"
SENT_ON, SENT_BACK = ("authorization", "user-agent", REQUEST_ID), ("x-served-by", REQUEST_ID)
# An address of a pod that is gone answers nothing, not even that nobody is there.
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 60.0
KNOWN_SECONDS, LOOK_SECONDS = 1.0, 0.1
PIECE_BYTES = 1 << 16


class NobodyError(Exception):
    """No pod of a pool takes a request."""


class LostError(Exception):
    """Whoever had a request is gone, or does not answer it."""


class Pool:
    """Pods of one kind, asked in turn."""

    def __init__(self, places: str) -> None:
        self._places = [place.rpartition(":")[::2] for place in places.split(",")]
        self._turn = count()
        self._known: tuple[float, list[tuple[str, int]]] = (0.0, [])

    def addresses(self) -> list[tuple[str, int]]:
        """Return where its pods are now, or were a moment ago."""
        looked, known = self._known
        if time.monotonic() > looked + KNOWN_SECONDS:
            known = sorted({one for host, port in self._places for one in resolved(host, port)})
            self._known = (time.monotonic(), known)
        return known

    def ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Return the answer of the next pod that takes a request, as far as its headers.

        Raises:
            NobodyError: none takes it.
            LostError: the one that took it does not answer.
        """
        peer = self._connected()
        try:
            peer.request("POST" if body else "GET", path, body or None, dict(headers))
            return peer.getresponse()
        except (OSError, http.client.HTTPException) as error:
            peer.close()
            raise LostError(f"{peer.host} had the request and is lost: {error!r}") from error

    def _connected(self) -> http.client.HTTPConnection:
        addresses, start = self.addresses(), next(self._turn)
        for number in range(len(addresses)):
            host, port = addresses[(start + number) % len(addresses)]
            peer = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
            try:
                peer.connect()
            except OSError:
                continue
            peer.sock.settimeout(ANSWER_SECONDS)
            return peer
        raise NobodyError(f"none of {len(addresses)} pods takes the request")


def resolved(host: str, port: str) -> set[tuple[str, int]]:
    """Return the addresses of a name; none where it has none."""
    try:
        found = getaddrinfo(host, int(port), type=SOCK_STREAM)
    except gaierror:
        return set()
    return {(str(address[0]), int(address[1])) for *_, address in found}


class Admission:
    """Lets so many prompts be read at once as decode pods can take."""

    def __init__(self, decode: Pool, per_decode: int, queue_seconds: float) -> None:
        self._decode, self._per_decode, self._queue_seconds = decode, per_decode, queue_seconds
        self._changed = threading.Condition()
        self._reading = 0

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Have a place for the length of a block; without one: none became free in time."""
        with self._changed:
            free = self._waited()
            self._reading += free
        try:
            yield free
        finally:
            with self._changed:
                self._reading -= free
                self._changed.notify()

    def _waited(self) -> bool:
        end = time.monotonic() + self._queue_seconds
        while not self._free() and time.monotonic() < end:
            self._changed.wait(LOOK_SECONDS)
        return self._free()

    def _free(self) -> bool:
        return self._reading < self._per_decode * len(self._decode.addresses())


class Router:
    """Sends each request to a prefill pod first, then to a decode pod."""

    def __init__(self, prefill: Pool, decode: Pool, admission: Admission) -> None:
        self._prefill, self._decode, self._admission = prefill, decode, admission

    def answer(self, call: Call) -> Answer:
        """Answer one request; whatever comes before the API's own path is the route's business."""
        path, headers = call.path[max(0, call.path.find("/v1/")) :], sent_on(call)
        try:
            document = json.loads(call.body) if path in GENERATIONS else None
        except ValueError:
            document = None
        try:
            if not isinstance(document, dict):
                return whole(self._decode.ask(path, call.body, headers))
            return self._generated(path, document, headers)
        except NobodyError as error:
            return refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except LostError as error:
            return refused(HTTPStatus.BAD_GATEWAY, str(error))

    def _generated(self, path: str, document: Json, headers: Mapping[str, str]) -> Answer:
        with self._admission.place() as free:
            if not free:
                raise NobodyError("the decode pods that there are have enough to take")
            read = whole(self._prefill.ask(path, for_prefill(document), headers))
            if read.status != HTTPStatus.OK:
                return read
            reply = self._decode.ask(path, for_decode(document, read), headers)
        return streamed(reply) if "event-stream" in kind_of(reply) else whole(reply)


def sent_on(call: Call) -> dict[str, str]:
    """Return the headers that go on with a request, with the same id to both pods."""
    named = {name: call.headers[name] for name in SENT_ON if name in call.headers}
    return {
        REQUEST_ID: str(uuid.uuid4()),
        "content-type": JSON_TYPE,
        "connection": "close",
        **named,
    }


def for_prefill(document: Json) -> bytes:
    """Return the request by which a prompt is read, and its KV blocks are kept for another pod."""
    transfer: Json = {"do_remote_decode": True, "do_remote_prefill": False}
    transfer |= dict.fromkeys(
        ("remote_engine_id", "remote_block_ids", "remote_host", "remote_port")
    )
    one_token = {name: 1 for name in TOKEN_LIMITS if name in document} or {"max_tokens": 1}
    rest = {name: value for name, value in document.items() if name != "stream_options"}
    asked = {**rest, **one_token, "stream": False, "kv_transfer_params": transfer}
    return json.dumps(asked).encode()


def for_decode(document: Json, read: Answer) -> bytes:
    """Return the request as it came, with where the KV blocks of its prompt lie.

    Raises:
        LostError: whoever read it does not say.
    """
    try:
        told = json.loads(read.content if isinstance(read.content, bytes) else b"")
        return json.dumps({**document, "kv_transfer_params": told["kv_transfer_params"]}).encode()
    except (ValueError, KeyError, TypeError) as error:
        raise LostError("who read the prompt does not say where its KV blocks are") from error


def kind_of(reply: http.client.HTTPResponse) -> str:
    """Return what an answer is."""
    return reply.headers.get("content-type", JSON_TYPE)


def sent_back(reply: http.client.HTTPResponse) -> dict[str, str]:
    """Return the headers that go back with an answer."""
    return {name: reply.headers[name] for name in SENT_BACK if name in reply.headers}


def whole(reply: http.client.HTTPResponse) -> Answer:
    """Return an answer once all of it is there; raises LostError where it breaks off."""
    try:
        with reply:
            return Answer(reply.status, reply.read(), sent_back(reply), kind_of(reply))
    except (OSError, http.client.HTTPException) as error:
        raise LostError(f"an answer broke off: {error!r}") from error


def streamed(reply: http.client.HTTPResponse) -> Answer:
    """Return an answer whose pieces are handed on as they come."""
    return Answer(reply.status, handed_on(reply), sent_back(reply), kind_of(reply))


def handed_on(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the pieces of a stream; one that breaks off ends with an error event."""
    try:
        with reply:
            while piece := reply.read1(PIECE_BYTES):
                yield piece
    except (OSError, http.client.HTTPException) as error:
        told = {"message": f"The answer broke off: {error!r}", "type": "InternalServerError"}
        event = json.dumps({"error": {**told, "code": HTTPStatus.INTERNAL_SERVER_ERROR}})
        yield f"\n\ndata: {event}\n\ndata: [DONE]\n\n".encode()


def main(port: str) -> None:
    """Answer until the process is ended."""
    prefill, decode = Pool(os.environ["PREFILL"]), Pool(os.environ["DECODE"])
    per_decode = int(os.environ.get("PREFILLS_PER_DECODE", "2"))
    queue_seconds = float(os.environ.get("QUEUE_SECONDS", "5"))
    router = Router(prefill, decode, Admission(decode, per_decode, queue_seconds))
    serve(int(port), router.answer, Metrics())


if __name__ == "__main__":
    main(*sys.argv[1:])
