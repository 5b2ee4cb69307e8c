"""The retriever of the RAG application: embeds a question and asks the vector store about it.

    python -m hotfire.engine.rag.retriever PORT VECTOR_STORE

VECTOR_STORE is a URL. What was found is kept for a minute, and who asks the same at the same time
waits for one answer: a store whose cache is cold is not asked once for each user.
"""

import json
import sys
import time
from http import HTTPStatus
from threading import Lock

from hotfire.engine.rag.part import Answer, Call, Metrics, ask, in_json, refused, serve
from hotfire.engine.rag.tracing import Tracer
from hotfire.engine.rag.vectors import embedded

STORE_SECONDS = 1.0
"""Shorter than the API waits for us: it hears that there is no context, and from whom."""
KEPT_SECONDS, MOST_KEPT = 60.0, 1000
DOCUMENTS = 1


class Cache:
    """What was found for questions of the last minute."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: dict[str, tuple[float, list[str]]] = {}
        self._asking: dict[str, Lock] = {}

    def asking(self, question: str) -> Lock:
        """Return what one of those holds who ask the same, while he asks for all of them."""
        with self._lock:
            if len(self._asking) > MOST_KEPT:
                self._asking.clear()
            return self._asking.setdefault(question, Lock())

    def get(self, question: str) -> list[str] | None:
        """Return what was found; None where nobody asked lately."""
        at, found = self._found.get(question, (0.0, []))
        return found if found and time.monotonic() - at < KEPT_SECONDS else None

    def put(self, question: str, found: list[str]) -> None:
        """Keep what was found."""
        with self._lock:
            if len(self._found) > MOST_KEPT:
                self._found.clear()
            self._found[question] = (time.monotonic(), found)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()


class Retriever:
    """Answers a question with the documents that are nearest to it."""

    def __init__(self, store: str, metrics: Metrics, tracer: Tracer) -> None:
        self._store, self._metrics, self._tracer = store, metrics, tracer
        self._cache = Cache()

    def answer(self, call: Call) -> Answer:
        """Answer ``{"question": "..."}``; a DELETE of ``/cache`` empties it."""
        if (call.method, call.path) == ("DELETE", "/cache"):
            self._cache.clear()
            return in_json({})
        if call.path != "/search":
            return refused(HTTPStatus.NOT_FOUND, "Nothing is here.")
        try:
            return in_json({"documents": self._documents(str(json.loads(call.body)["question"]))})
        except OSError as error:
            return refused(HTTPStatus.BAD_GATEWAY, f"The vector store is away: {error}")
        except (ValueError, KeyError, TypeError):
            return refused(HTTPStatus.BAD_REQUEST, "Expected a question.")

    def _documents(self, question: str) -> list[str]:
        asking = self._cache.asking(question)
        if not asking.acquire(timeout=STORE_SECONDS):
            raise TimeoutError("somebody who asks the same waits for it, too")
        try:
            found = self._cache.get(question)
            self._metrics.count(f"rag_cache_{'misses' if found is None else 'hits'}_total")
            if found is None:
                found = self._asked(question)
                self._cache.put(question, found)
            return found
        finally:
            asking.release()

    def _asked(self, question: str) -> list[str]:
        url, query = f"{self._store}/query", {"vector": embedded(question), "count": DOCUMENTS}
        with self._metrics.timed("vector-store"), self._tracer.calling("vector-store") as headers:
            reply = ask("POST", url, query, within_seconds=STORE_SECONDS, headers=headers)
        return [str(one) for one in reply["documents"]]


def main(port: str, store: str) -> None:
    """Answer until the process is ended."""
    metrics, tracer = Metrics(), Tracer.of_environment("rag-retriever")
    serve(int(port), Retriever(store, metrics, tracer).answer, metrics, tracer.serving)


if __name__ == "__main__":
    main(*sys.argv[1:])
