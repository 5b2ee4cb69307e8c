"""The API of the RAG application: an OpenAI-compatible chat whose answers rest on documents.

    python -m hotfire.engine.rag.api PORT

It looks for context within a declared time, puts it in front of the question, and hands on what the
engine answers, as it comes. Without context it answers all the same, and says so by a header: what
it lacks is never silently missing. What a session said is kept elsewhere, so that it outlives us;
what was answered without one is kept for a minute for whoever asks the same.

Its environment: ENGINE, RETRIEVER and SESSIONS are URLs (without SESSIONS they are kept in memory),
CONTEXT_SECONDS is how long an answer waits for its context. For TRACES see `tracing`.
"""

import http.client
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from hotfire.engine.rag.part import Answer, Call, Metrics, ask, refused, serve
from hotfire.engine.rag.response_cache import ResponseCache
from hotfire.engine.rag.session_store import SessionStore
from hotfire.engine.rag.tracing import Span, Tracer

Json = dict[str, Any]
CHAT = "/v1/chat/completions"
SESSION, DEGRADED = "x-session-id", "X-Rag-Degraded"
ENGINE_SECONDS, SESSION_SECONDS = 60.0, 1.0
PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class Settings:
    """Where the other parts are, and how long they may take."""

    engine: str
    retriever: str
    sessions: str
    """Empty: in this process's memory."""
    context_seconds: float | None
    """None: for as long as it takes."""

    @classmethod
    def of_environment(cls) -> "Settings":
        """Return what the environment says; raises KeyError where it lacks something."""
        return cls(
            engine=os.environ["ENGINE"],
            retriever=os.environ["RETRIEVER"],
            sessions=os.environ.get("SESSIONS", ""),
            context_seconds=float(os.environ["CONTEXT_SECONDS"]) or None,
        )


class Sessions:
    """What each session has said so far."""

    def __init__(self, url: str) -> None:
        self._url, self._memory = url, SessionStore()

    def history(self, name: str) -> list[Json]:
        """Return a session's messages; raises OSError or ValueError where nobody tells."""
        return self._asked("GET", name, None)

    def add(self, name: str, *messages: Json) -> None:
        """Keep messages; raises OSError or ValueError where nobody takes them."""
        self._asked("POST", name, list(messages))

    def _asked(self, method: str, name: str, messages: list[Json] | None) -> list[Json]:
        path = f"/sessions/{quote(name, safe='')}"
        if self._url:
            url = f"{self._url}{path}"
            found: list[Json] = ask(method, url, messages, within_seconds=SESSION_SECONDS)
            return found
        said = self._memory.answer(Call(method, path, {}, json.dumps(messages).encode()))
        kept: list[Json] = json.loads(said.content if isinstance(said.content, bytes) else b"[]")
        return kept


class Api:
    """Answers chats."""

    def __init__(self, settings: Settings, metrics: Metrics, tracer: Tracer) -> None:
        self._settings, self._metrics, self._tracer = settings, metrics, tracer
        self._sessions, self._cache = Sessions(settings.sessions), ResponseCache(metrics)

    def answer(self, call: Call) -> Answer:
        """Answer one request; whatever comes before the API's own path is the route's business."""
        if call.method != "POST" or not call.path.endswith(CHAT):
            return refused(HTTPStatus.NOT_FOUND, "Nothing is here.")
        try:
            document = json.loads(call.body)
            question = [one for one in document["messages"] if one["role"] == "user"][-1]
            text = str(question["content"])
        except (ValueError, KeyError, TypeError, IndexError):
            return refused(HTTPStatus.BAD_REQUEST, "Expected messages, one of them a user's.")
        if call.headers.get(SESSION):
            return self._made(call, document, question, text)
        # To a session belongs what it said before: nobody else asks the same.
        asked = json.dumps(document, sort_keys=True)
        found = self._cache.answer(asked, lambda: self._made(call, document, question, text))
        return found or refused(HTTPStatus.BAD_GATEWAY, "The answer of another one broke off.")

    def _made(self, call: Call, document: Json, question: Json, text: str) -> Answer:
        """Return an answer that was made for this request."""
        context, history = self._context(text), self._history(call.headers.get(SESSION, ""))
        lacking = [
            name for name, found in (("context", context), ("history", history)) if found is None
        ]
        messages = [*_told(context), *(history or []), *document["messages"]]
        answer = self._generated(call, {**document, "messages": messages}, question)
        return replace(answer, headers={DEGRADED: ", ".join(lacking)}) if lacking else answer

    def _context(self, question: str) -> list[str] | None:
        """Return documents; None where none came in time."""
        url, limit = f"{self._settings.retriever}/search", self._settings.context_seconds
        asked = {"question": question}
        with self._metrics.timed("retriever"), self._tracer.calling("retriever") as headers:
            try:
                found = ask("POST", url, asked, within_seconds=limit, headers=headers)
                return [str(one) for one in found["documents"]]
            except (OSError, ValueError, KeyError, TypeError):
                self._metrics.count("rag_degraded_total")
                return None

    def _history(self, session: str) -> list[Json] | None:
        """Return what a session said; None where nobody tells."""
        if not session:
            return []
        with self._metrics.timed("session-store"):
            try:
                return self._sessions.history(session)
            except (OSError, ValueError):
                return None

    def _generated(self, call: Call, document: Json, question: Json) -> Answer:
        parts, began = urlsplit(self._settings.engine), time.monotonic()
        engine = http.client.HTTPConnection(parts.netloc, timeout=ENGINE_SECONDS)
        span = self._tracer.begin_call("engine")
        headers = {"Connection": "close", **span.context.headers}
        try:
            engine.request("POST", parts.path + CHAT, json.dumps(document), headers)
            reply = engine.getresponse()
        except (OSError, http.client.HTTPException) as error:
            engine.close()
            self._tracer.end(span)
            return refused(HTTPStatus.BAD_GATEWAY, f"The engine does not answer: {error!r}")
        pieces = self._called(span, self._handed_on(call, reply, began, question))
        return Answer(reply.status, pieces, kind=reply.headers.get("content-type", ""))

    def _called(self, span: Span, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield an answer; the call that brings it lasts as long as it does."""
        try:
            yield from pieces
        finally:
            self._tracer.end(span)

    def _handed_on(
        self, call: Call, reply: http.client.HTTPResponse, began: float, question: Json
    ) -> Iterator[bytes]:
        """Yield an answer as it comes; the session has it before whoever asked sees its end."""
        kept, speaks = bytearray(), False
        with reply:
            while piece := reply.read1(PIECE_BYTES):
                kept += piece
                # The headers come before the first token, whose time is what users feel.
                if not speaks and (speaks := bool(answer_text(bytes(kept)))):
                    self._metrics.observe("engine", time.monotonic() - began)
                    self._metrics.observe("request", time.monotonic() - call.at)
                yield piece
        session = call.headers.get(SESSION, "")
        if session and reply.status == HTTPStatus.OK:
            said = {"role": "assistant", "content": answer_text(bytes(kept))}
            try:
                self._sessions.add(session, question, said)
            except (OSError, ValueError) as error:
                sys.stdout.write(f"a turn was not kept: {error}\n")
                sys.stdout.flush()


def _told(context: list[str] | None) -> list[Json]:
    if not context:
        return []
    return [{"role": "system", "content": "Answer by these documents:\n" + "\n".join(context)}]


def answer_text(content: bytes) -> str:
    """Return what an answer says, whole or in server-sent events; what is neither says nothing."""
    lines = content.decode(errors="replace").splitlines()
    events = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    texts = []
    for text in events or [content.decode(errors="replace")]:
        try:
            [choice] = json.loads(text)["choices"]
            texts.append((choice.get("delta") or choice.get("message"))["content"] or "")
        except (ValueError, KeyError, TypeError):
            continue
    return "".join(texts)


def main(port: str) -> None:
    """Answer until the process is ended."""
    metrics, tracer = Metrics(), Tracer.of_environment("rag-api")
    api = Api(Settings.of_environment(), metrics, tracer)
    serve(int(port), api.answer, metrics, tracer.serving)


if __name__ == "__main__":
    main(*sys.argv[1:])
