"""The embedder of the RAG application: turns texts into vectors, for whoever fills the store.

    python -m hotfire.engine.rag.embedder PORT SECONDS WAITING

It has a device of its own, which is busy for SECONDS with each text. Of those who have to wait for
it WAITING at most may; the others are told to come later: a queue without an end serves nobody.
"""

import json
import sys
from dataclasses import replace
from http import HTTPStatus
from threading import BoundedSemaphore, Event, Lock

from hotfire.engine.rag.part import Answer, Call, Metrics, in_json, refused, serve
from hotfire.engine.rag.vectors import Vector, embedded

EMBEDDINGS = "/v1/embeddings"


class Embedder:
    """Answers as the OpenAI API does."""

    def __init__(self, seconds: float, waiting: int, metrics: Metrics) -> None:
        self._seconds, self._metrics = seconds, metrics
        self._device, self._places = Lock(), BoundedSemaphore(1 + waiting)

    def answer(self, call: Call) -> Answer:
        """Answer one request; whatever comes before the API's own path is the route's business."""
        if call.method != "POST" or not call.path.endswith(EMBEDDINGS):
            return refused(HTTPStatus.NOT_FOUND, "Nothing is here.")
        try:
            asked = json.loads(call.body)
            model, given = str(asked["model"]), asked["input"]
        except (ValueError, KeyError, TypeError):
            return refused(HTTPStatus.BAD_REQUEST, "Expected a model and an input.")
        if not self._places.acquire(blocking=False):
            self._metrics.count("rag_embeddings_refused_total")
            busy = refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many wait already.")
            return replace(busy, headers={"Retry-After": "1"})
        try:
            return self._answered(
                model, list(map(str, given if isinstance(given, list) else [given]))
            )
        finally:
            self._places.release()

    def _answered(self, model: str, texts: list[str]) -> Answer:
        data = [
            {"object": "embedding", "index": number, "embedding": self._embedded(text)}
            for number, text in enumerate(texts)
        ]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return in_json({"object": "list", "model": model, "data": data, "usage": usage})

    def _embedded(self, text: str) -> Vector:
        with self._device:
            self._work()
            return embedded(text)

    def _work(self) -> None:
        """Let the device be busy, which costs its host nothing."""
        Event().wait(self._seconds)


def main(port: str, seconds: str, waiting: str) -> None:
    """Answer until the process is ended."""
    metrics = Metrics()
    serve(int(port), Embedder(float(seconds), int(waiting), metrics).answer, metrics)


if __name__ == "__main__":
    main(*sys.argv[1:])
