"""The session store of the RAG application: what was said so far, outside of whoever answers.

    python -m hotfire.engine.rag.session_store PORT

A real one is a Redis; of this one there is one replica, and its end is that of every session.
"""

import json
import sys
from http import HTTPStatus
from threading import Lock

from hotfire.engine.rag.part import Answer, Call, Metrics, in_json, refused, serve

MOST_SESSIONS, MOST_MESSAGES = 10_000, 20


class SessionStore:
    """The last messages of each session, by its name."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sessions: dict[str, list[object]] = {}

    def answer(self, call: Call) -> Answer:
        """Answer a GET with a session's messages; a POST adds some, and is answered with all."""
        _, kind, name = (*call.path.split("/", 2), "", "")[:3]
        if kind != "sessions" or not name:
            return refused(HTTPStatus.NOT_FOUND, "Nothing is here.")
        try:
            added = json.loads(call.body) if call.method == "POST" else []
        except ValueError:
            return refused(HTTPStatus.BAD_REQUEST, "Expected a list of messages.")
        return in_json(self._with(name, added))

    def _with(self, name: str, added: list[object]) -> list[object]:
        with self._lock:
            kept = [*self._sessions.pop(name, []), *added][-MOST_MESSAGES:]
            if kept:
                # Behind those that were silent for longer, the first of which goes first.
                self._sessions[name] = kept
            if len(self._sessions) > MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            return kept


def main(port: str) -> None:
    """Answer until the process is ended."""
    serve(int(port), SessionStore().answer, Metrics())


if __name__ == "__main__":
    main(*sys.argv[1:])
