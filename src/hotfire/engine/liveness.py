"""The liveness probe of the reference stack: does an engine compute, if anybody waits for it?

It needs nothing but Python 3.9, so that the engine's own image can run it from a ConfigMap:

    python3 -I -S liveness.py PORT

vLLM's ``/health`` is the word of its API server, which lives on while the process that computes
hangs (vllm#46811). A probe that always asks for a token waits behind users, and ends busy engines.
This one looks whether steps are computed, and asks for a token only where none is and somebody
waits. What starves an engine starves its probe too, which runs in its container: therefore it
imports next to nothing, and speaks HTTP by itself. Exit status 0: alive.
"""

import re
import socket
import sys
import time

LOOK_SECONDS, STEP_SECONDS, TOKEN_SECONDS = 4.0, 1.0, 4.0
# Counts every step that the scheduler makes, those too that give no token yet.
STEPS = re.compile(r"^vllm:iteration_tokens_total_count(?:\{.*\})? (\S+)", re.MULTILINE)
NOBODY = re.compile(r'"server_load": *0\b')
MODEL = re.compile(r'"id": *("[^"]+")')


def main(port: int) -> str:
    """Return why the engine is not alive; empty: it is.

    Raises:
        OSError: its API server does not answer, or knows that the engine is dead.
    """
    _page(port, "/health")
    # What it counts may go wrong in either direction as clients leave: it never decides alone.
    if NOBODY.search(_page(port, "/load")):
        return ""
    before = _steps(port)
    _let_it_step()
    if _steps(port) != before or _gives_a_token(port) or _steps(port) != before:
        return ""
    return f"somebody waits, it stands at step {before}, and gives no token"


def _let_it_step() -> None:
    time.sleep(STEP_SECONDS)  # noqa: TID251 - this program imports nothing that waits


def _steps(port: int) -> str:
    return " ".join(STEPS.findall(_page(port, "/metrics")))


def _gives_a_token(port: int) -> bool:
    model = MODEL.search(_page(port, "/v1/models"))
    body = f'{{"model": {model.group(1) if model else ""}, "prompt": "x", "max_tokens": 1}}'
    try:
        status, _ = _ask(port, "POST /v1/completions", body, TOKEN_SECONDS)
    except OSError:
        return False
    # An overloaded one says so at once, which one that hangs cannot.
    return status < 500


def _page(port: int, path: str) -> str:
    status, page = _ask(port, f"GET {path}", "", LOOK_SECONDS)
    if status != 200:
        raise OSError(f"{path} says {status}")
    return page


def _ask(port: int, what: str, body: str, seconds: float) -> "tuple[int, str]":
    """Return status and body of an answer, after which an HTTP/1.0 server ends the connection."""
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", port), seconds) as peer:
        peer.sendall(f"{what} HTTP/1.0\r\n{head}\r\n{body}".encode())
        answer = b"".join(iter(lambda: peer.recv(1 << 16), b"")).decode()
    first, _, page = answer.partition("\r\n\r\n")
    status = first.split(" ", 2)[1:2]
    if not status:
        raise OSError(f"{what}: no HTTP")
    return int(status[0]), page


if __name__ == "__main__":
    try:
        trouble = main(int(sys.argv[1]))
    except (OSError, ValueError) as error:
        trouble = f"{type(error).__name__}: {error}"
    sys.exit(trouble or 0)
