"""The liveness probe of the reference stack: does an engine compute, if anybody waits for it?

It needs nothing but Python 3.9, so that the engine's own image can run it from a ConfigMap:

    python3 liveness.py URL

vLLM's ``/health`` is the word of its API server, which lives on while the process that computes
hangs (vllm#46811). A probe that always asks for a token waits behind users, and ends busy engines.
This one looks whether steps are computed, and asks for a token only where none is and somebody
waits. Exit status 0: alive.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.request

LOOK_SECONDS, STEP_SECONDS, TOKEN_SECONDS = 3.0, 1.0, 4.0
# Counts every step that the scheduler makes, those too that give no token yet.
STEPS = re.compile(r"^vllm:iteration_tokens_total_count(?:\{.*\})? (\S+)", re.MULTILINE)


def main(url: str) -> str:
    """Return why the engine is not alive; empty: it is.

    Raises:
        OSError: its API server does not answer, or knows that the engine is dead.
        ValueError, KeyError: a page is none of vLLM's.
    """
    _read(f"{url}/health", LOOK_SECONDS)
    before = _steps(url)
    # What it counts may go wrong in either direction as clients leave: it never decides alone.
    if json.loads(_read(f"{url}/load", LOOK_SECONDS))["server_load"] == 0:
        return ""
    _let_it_step()
    if _steps(url) != before or _gives_a_token(url) or _steps(url) != before:
        return ""
    return f"somebody waits, it stands at step {before}, and gives no token"


def _let_it_step() -> None:
    time.sleep(STEP_SECONDS)  # noqa: TID251 - this program imports nothing that waits


def _steps(url: str) -> str:
    return " ".join(STEPS.findall(_read(f"{url}/metrics", LOOK_SECONDS)))


def _gives_a_token(url: str) -> bool:
    model = json.loads(_read(f"{url}/v1/models", LOOK_SECONDS))["data"][0]["id"]
    body = json.dumps({"model": model, "prompt": "x", "max_tokens": 1}).encode()
    where, kind = f"{url}/v1/completions", {"content-type": "application/json"}
    asked = urllib.request.Request(where, body, kind)  # noqa: S310 - the manifest's own address
    try:
        _read(asked, TOKEN_SECONDS)
    except urllib.error.HTTPError as error:
        # An overloaded one says so at once, which one that hangs cannot.
        return error.code < 500
    except OSError:
        return False
    return True


def _read(asked: "str | urllib.request.Request", seconds: float) -> str:
    # A proxy of the environment does not lead into one's own pod.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(asked, timeout=seconds) as page:
        return str(page.read(), "utf-8")


if __name__ == "__main__":
    try:
        trouble = main(*sys.argv[1:])
    except (OSError, ValueError, KeyError) as error:
        trouble = f"{type(error).__name__}: {error}"
    sys.exit(trouble or 0)
