"""The vector store of the RAG application: a few documents in memory, found by their vectors.

    python -m hotfire.engine.rag.vector_store PORT DOCUMENTS

DOCUMENTS is a JSON list of texts.
"""

import json
import sys
from http import HTTPStatus
from pathlib import Path

from hotfire.engine.rag.part import Answer, Call, Metrics, in_json, refused, serve
from hotfire.engine.rag.tracing import Tracer
from hotfire.engine.rag.vectors import embedded, similarity


class VectorStore:
    """Answers a vector with the documents that are nearest to it."""

    def __init__(self, documents: list[str]) -> None:
        self._documents = [(text, embedded(text)) for text in documents]

    def answer(self, call: Call) -> Answer:
        """Answer ``{"vector": [...], "count": 2}``."""
        if call.path != "/query":
            return refused(HTTPStatus.NOT_FOUND, "Nothing is here.")
        try:
            asked = json.loads(call.body)
            ranked = sorted(
                self._documents,
                key=lambda one: similarity(one[1], asked["vector"]),
                reverse=True,
            )
            return in_json({"documents": [text for text, _ in ranked[: int(asked["count"])]]})
        except (ValueError, KeyError, TypeError):
            return refused(HTTPStatus.BAD_REQUEST, "Expected a vector and a count.")


def main(port: str, documents: str) -> None:
    """Answer until the process is ended; ends at once where the documents cannot be read."""
    store = VectorStore(json.loads(Path(documents).read_text(encoding="utf-8")))
    tracer = Tracer.of_environment("rag-vector-store")
    serve(int(port), store.answer, Metrics(), tracer.serving)


if __name__ == "__main__":
    main(*sys.argv[1:])
