"""Asking one engine many times over, past everything that stands before it: what does it answer?"""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from hotfire.agent import arguments

_PATH = "/v1/chat/completions"
_LONGEST_SECONDS = 8.0
_MOST_TIMES, _MOST_TOKENS, _AT_ONCE = 100, 128, 8
_MOST_BYTES = 1 << 20
_SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
    "additionalProperties": False,
}
_BOUND = {"type": "json_schema", "json_schema": {"name": "number", "schema": _SCHEMA}}


def engine(args: dict[str, Any]) -> dict[str, Any]:
    """Return the answers of ``address`` and ``port`` to ``times`` prompts, numbered from ``first``.

    The same number is always the same prompt. With ``bound`` each answer is asked for as JSON of
    one schema. ``within_seconds`` bounds each step of an exchange.
    """
    known = {"address", "port", "model", "first", "times", "max_tokens", "bound", "within_seconds"}
    arguments.only(args, known)
    host, port, seconds = arguments.peer(args, longest_seconds=_LONGEST_SECONDS)
    first = round(arguments.number(args, "first", above=-1, at_most=1e6))
    times = round(arguments.number(args, "times", above=0, at_most=_MOST_TIMES))
    tokens = round(arguments.number(args, "max_tokens", above=0, at_most=_MOST_TOKENS))
    order = {"model": str(args.get("model", "")), "max_tokens": tokens}
    order |= {"stream": True, "temperature": 0}
    order |= {"response_format": _BOUND} if args.get("bound") is True else {}

    def ask(number: int) -> dict[str, Any]:
        prompt = {"messages": [{"role": "user", "content": f"Tell me of the number {number}."}]}
        return _answer(http.client.HTTPConnection(host, port, timeout=seconds), order | prompt)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {"answers": list(pool.map(ask, range(first, first + times)))}


def _answer(connection: http.client.HTTPConnection, order: dict[str, Any]) -> dict[str, Any]:
    """Return status (None: no whole answer), text, and seconds per token where several came."""
    try:
        connection.request("POST", _PATH, json.dumps(order), {"content-type": "application/json"})
        reply = connection.getresponse()
        if reply.status != HTTPStatus.OK:
            return {"status": reply.status, "text": "", "tpot_seconds": None}
        return {"status": reply.status, **_read(reply)}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return {"status": None, "text": f"{type(error).__name__}: {error}", "tpot_seconds": None}
    finally:
        connection.close()


def _read(reply: http.client.HTTPResponse) -> dict[str, Any]:
    chunks, stamps = [], []
    for text in _texts(reply):
        chunks.append(text)
        stamps.append(time.monotonic())
    pace = (stamps[-1] - stamps[0]) / (len(stamps) - 1) if len(stamps) > 1 else None
    return {"text": "".join(chunks), "tpot_seconds": pace}


def _texts(reply: http.client.HTTPResponse) -> Iterator[str]:
    """Yield the text of each chunk that has any, as it comes.

    Raises:
        ValueError: the stream is no JSON, or ends without ``[DONE]``.
    """
    while line := reply.readline(_MOST_BYTES):
        name, _, data = line.partition(b":")
        if name != b"data":
            continue
        if data.strip() == b"[DONE]":
            return
        for choice in json.loads(data).get("choices") or ():
            if text := choice["delta"].get("content"):
                yield text
    raise ValueError("the stream ended without [DONE]")
