"""Locust as its users write it: a FastHttpUser with iter_lines, or geventhttpclient's readline.

Open load is what Locust calls so: four users for each request a second, each asking every 4 s.
Locust starts users in a burst every second, whose streams would then run in step and be read in one
go; each user therefore waits for a moment of its own first.
"""

import json
import sys
import time
from itertools import count
from pathlib import Path

import gevent
from geventhttpclient import HTTPClient
from locust import FastHttpUser, User
from locust.env import Environment

kind, url, mode, amount, tokens, seconds, out = sys.argv[1:]
OPEN = mode == "open"
ASK_SECONDS = 4
BODY = {"model": "truth", "max_tokens": int(tokens), "stream": True}
BODY |= {"messages": [{"role": "user", "content": "hello"}]}
BODY |= {"stream_options": {"include_usage": True}}
PATH = "/v1/chat/completions"
ttft_ms: list[float] = []
failed: list[str] = []
begun = time.monotonic()
numbers = count()


def take(began: int, lines: "object") -> None:
    """Read a stream as the tutorials do: parse each line, note the first with content."""
    first = 0
    for line in lines:  # type: ignore[attr-defined]
        text = line.decode() if isinstance(line, bytes) else line
        if not text.startswith("data: ") or "[DONE]" in text:
            continue
        choices = json.loads(text[6:]).get("choices")
        if not first and choices and choices[0]["delta"].get("content"):
            first = time.perf_counter_ns()
    ttft_ms.append((first - began) / 1e6)


def begin(user: "Fast | Readline") -> None:
    """Wait for this user's own moment, so that requests come one by one."""
    user.due = begun + next(numbers) / float(amount)
    gevent.sleep(max(0.0, user.due - time.monotonic()) if OPEN else 0.0)


def pace(user: "Fast | Readline") -> float:
    """Return the time to the user's next moment; a closed loop asks again at once."""
    user.due += ASK_SECONDS
    return max(0.0, user.due - time.monotonic()) if OPEN else 0.0


def ask(user: "Fast | Readline") -> None:
    """Send one request, unless the time is over."""
    if time.monotonic() > begun + float(seconds):
        gevent.sleep(1)
        return
    try:
        user.stream()
    except Exception as error:  # noqa: BLE001 - counted, as Locust would
        failed.append(repr(error))


class Fast(FastHttpUser):
    host = url
    wait_time = pace
    tasks = (ask,)
    on_start = begin
    due = 0.0

    def stream(self) -> None:
        began = time.perf_counter_ns()
        take(began, self.client.iter_lines(PATH, method="POST", json=BODY))


class Readline(User):
    wait_time = pace
    tasks = (ask,)
    on_start = begin
    due = 0.0

    def stream(self) -> None:
        if not hasattr(self, "http"):
            self.http = HTTPClient.from_url(url, network_timeout=60)
        began = time.perf_counter_ns()
        headers = {"content-type": "application/json"}
        response = self.http.request("POST", PATH, json.dumps(BODY).encode(), headers)
        take(began, iter(lambda: response.readline(b"\n"), b""))
        self.environment.events.request.fire(
            request_type="LLM", name=PATH, response_time=0, response_length=0, exception=None,
            context={},
        )  # fmt: skip


def main() -> None:
    environment = Environment(user_classes=[Fast if kind == "fast" else Readline])
    runner = environment.create_local_runner()
    users = max(1, round(float(amount) * ASK_SECONDS)) if OPEN else int(float(amount))
    runner.start(users, spawn_rate=users)
    gevent.sleep(float(seconds) + 3)
    runner.quit()
    Path(out).write_text(
        json.dumps({"ttft_ms": ttft_ms, "failed": len(failed), "errors": failed[:3]})
    )


main()
