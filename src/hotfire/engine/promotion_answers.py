"""What a version under promotion answers, and what its metrics pages tell: for the promotion gate.

Nothing but Python 3.11 is needed: it runs in the pod of the gate.
"""

import http.client
import itertools
import json
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hotfire.engine.promotion_decision import Seen

Json = dict[str, Any]
Pages = Mapping[str, Counter[str] | None]

TOKENS = 32
ENDED, ABORTED = "vllm:request_success_total", 'finished_reason="abort"'
SERIES = (
    "vllm:time_to_first_token_seconds_count",
    "vllm:request_time_per_output_token_seconds_count",
    ENDED,
)
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
    "additionalProperties": False,
}
KNOWN = 50
"""Questions whose answers are kept of an accepted version: another model gives others."""
AT_ONCE, ANSWER_SECONDS = 8, 10.0


def ask(address: str, model: str, number: int, *, bound: bool) -> Seen:
    """Return what one answer of a pod tells; whoever does not answer at all has erred."""
    began = time.monotonic()
    came = _answer(address, model, number, bound=bound)
    return Seen(asked=1, errors=1, ended=0) if came is None else _timed(began, came, bound=bound)


def _answer(
    address: str, model: str, number: int, *, bound: bool
) -> list[tuple[float, str]] | None:
    """Return when each text of a whole answer came, and the text; None: there was none."""
    body: Json = {"model": model, "max_tokens": TOKENS, "stream": True, "temperature": 0}
    body["messages"] = [{"role": "user", "content": f"Tell me of the number {number}."}]
    if bound:
        form = {"name": "number", "schema": SCHEMA}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    pod = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
    try:
        pod.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = pod.getresponse()
        return list(_texts(reply)) if reply.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        pod.close()


def _texts(reply: http.client.HTTPResponse) -> Iterator[tuple[float, str]]:
    """Yield when each text came, and the text; raises ValueError where the answer breaks off."""
    while line := reply.readline(1 << 20):
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        for choice in json.loads(data).get("choices") or () if line.startswith(b"data:") else ():
            if text := choice["delta"].get("content"):
                yield time.monotonic(), text
    raise ValueError("no [DONE]")


def _timed(began: float, came: list[tuple[float, str]], *, bound: bool) -> Seen:
    if bound:
        whole = "".join(text for _, text in came)
        return Seen(asked=1, bound=1, invalid=not _keeps_to_schema(whole), ended=0)
    if len(came) < 2:
        return Seen(asked=1, ended=0)
    first, last = came[0][0], came[-1][0]
    pace = (last - first) / (len(came) - 1)
    return Seen(asked=1, ttft_seconds=(first - began,), tpot_seconds=(pace,), ended=0)


def _keeps_to_schema(text: str) -> bool:
    try:
        return type(json.loads(text)["number"]) is int
    except (ValueError, KeyError, TypeError):
        return False


def page(address: str) -> Counter[str] | None:
    """Return the counters of a pod that are watched; None where one is not told."""
    try:
        lines = got(address, "/metrics").decode(errors="replace").splitlines()
        found: Counter[str] = Counter()
        for name, line in itertools.product(SERIES, lines):
            if line.startswith((name + "{", name + " ")):
                value = round(float(line.rpartition(" ")[2]))
                found[name] += value
                found[ABORTED] += value if ABORTED in line else 0
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return found if all(name in found for name in SERIES) else None


def since(before: Pages, now: Pages) -> Seen:
    """Return what pods' pages tell since before; nothing where one is silent or counts anew."""
    ended = aborted = 0
    for address, counted in now.items():
        former = before.get(address)
        if counted is None or former is None or any(counted[n] <= former[n] for n in SERIES):
            return Seen()
        ended += counted[ENDED] - former[ENDED]
        aborted += counted[ABORTED] - former[ABORTED]
    return Seen(ended=ended if now else None, aborted=aborted)


def got(address: str, path: str) -> bytes:
    pod = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
    try:
        pod.request("GET", path)
        return pod.getresponse().read(1 << 22)
    finally:
        pod.close()


def pages(addresses: Iterable[str]) -> Pages:
    return {address: page(address) for address in addresses}


def asked_all(addresses: list[str], first: int, times: int) -> Seen:
    """Return what pods answer in turn, to structured questions and to half as many timed ones."""
    model = _model(addresses[0])

    def one(number: int) -> Seen:
        address = addresses[number // 3 % len(addresses)]
        return ask(address, model, number, bound=number % 3 != 0)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(one, range(first, first + times)), Seen(ended=0))


def _model(address: str) -> str:
    """Return the name under which a pod serves."""
    return str(json.loads(got(address, "/v1/models"))["data"][0]["id"])


def fingerprints(addresses: Sequence[str]) -> list[str]:
    """Return what pods answer to each known question, in short; "" where it is not always the same.

    Also an answer chosen without chance may change with what else is computed at the same time.
    """
    model = _model(addresses[0])

    def one(number: int) -> str:
        came = _answer(addresses[number % len(addresses)], model, number % KNOWN, bound=False)
        whole = "".join(text for _, text in came or ())
        return f"{zlib.crc32(whole.encode()):08x}" if came else ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(one, range(2 * KNOWN)))
    return [
        first * (first == again) for first, again in zip(told[:KNOWN], told[KNOWN:], strict=True)
    ]


def compared(former: Sequence[str], now: Sequence[str]) -> Seen:
    """Return in how many of the questions that both answered a version says something else."""
    both = [(old, new) for old, new in zip(former, now, strict=False) if old and new]
    return Seen(known=len(both), other=sum(old != new for old, new in both), ended=0)
