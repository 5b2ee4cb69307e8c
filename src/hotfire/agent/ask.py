"""Asking an engine itself, past everything that stands before it: for a token, for its counters.

Any other server is asked how long it takes to answer.
"""

import http.client
import json
import time
from typing import Any

from hotfire.agent import arguments
from hotfire.agent.host import OperationError

_PATH, _METRICS_PATH = "/v1/completions", "/metrics"
_LONGEST_SECONDS, _MOST_TIMES = 5.0, 20
_MOST_BYTES = 1 << 20


def engine(args: dict[str, Any]) -> dict[str, Any]:
    """Return the HTTP status of ``address`` and ``port`` (None: no answer), and whether it wrote.

    ``within_seconds`` bounds each step of the exchange. What went wrong is told in ``said``.
    """
    arguments.only(args, {"address", "port", "model", "within_seconds"})
    host, port, seconds = arguments.peer(args, longest_seconds=_LONGEST_SECONDS)
    body = json.dumps({"model": str(args.get("model", "")), "prompt": "x", "max_tokens": 1})
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("POST", _PATH, body, {"content-type": "application/json"})
        reply = connection.getresponse()
        wrote = reply.status == http.HTTPStatus.OK and _wrote(reply.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException) as error:
        return {"status": None, "wrote": False, "said": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()
    return {"status": reply.status, "wrote": wrote, "said": ""}


def metrics(args: dict[str, Any]) -> dict[str, Any]:
    """Return those lines of an engine's metrics page that are of one of the series ``names``.

    ``path`` is where the page is, if not where most engines have it.

    Raises:
        OperationError: it does not answer with such a page.
    """
    arguments.only(args, {"address", "port", "path", "names", "within_seconds"})
    names = args.get("names")
    if not isinstance(names, list) or not names:
        raise OperationError("names takes a list of series")
    host, port, seconds = arguments.peer(args, longest_seconds=_LONGEST_SECONDS)
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", str(args.get("path") or _METRICS_PATH))
        reply = connection.getresponse()
        text = reply.read(_MOST_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise OperationError(f"{host}:{port} tells no metrics: {error}") from error
    finally:
        connection.close()
    if reply.status != http.HTTPStatus.OK:
        raise OperationError(f"{host}:{port} tells no metrics: HTTP {reply.status}")
    wanted = tuple(map(str, names))
    return {"lines": [one for one in text.splitlines() if one.startswith(wanted)]}


def timed(args: dict[str, Any]) -> dict[str, Any]:
    """Return the ``seconds`` that each of ``times`` requests took, over connections of their own.

    Any status of HTTP is an answer.

    Raises:
        OperationError: ``address`` and ``port`` gave none.
    """
    arguments.only(args, {"address", "port", "times", "within_seconds"})
    host, port, seconds = arguments.peer(args, longest_seconds=_LONGEST_SECONDS)
    times = round(arguments.number(args, "times", above=0, at_most=_MOST_TIMES))
    return {"seconds": [_answered(host, port, seconds) for _ in range(times)]}


def _answered(host: str, port: int, within_seconds: float) -> float:
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=within_seconds)
    try:
        connection.request("GET", "/")
        connection.getresponse().read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise OperationError(f"{host}:{port} does not answer: {error!r}") from error
    finally:
        connection.close()
    return time.monotonic() - began


def _wrote(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["choices"])
    except (ValueError, KeyError, TypeError):
        return False
