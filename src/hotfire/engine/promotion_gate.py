"""The promotion gate of the reference stack: gives a new version more users, or takes them back.

It needs nothing but Python 3.11, so that a stock image can run it from a ConfigMap:

    python -m hotfire.engine.promotion_gate NAMESPACE ROUTE STABLE CANARY

STABLE and CANARY are backends of the HTTPRoute; the pods of each bear its name as ``app``. A
canary of another pod template than the one last accepted is on trial: both versions are asked, and
their metrics pages read. Its weight goes 5, 25, 50, 100, or back to 0; what is missing is never
good. What was decided stands in an annotation of the route.
"""

import dataclasses
import http.client
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from hotfire.engine.api_server import Api, Json
from hotfire.engine.promotion_decision import STABLE_TIMES, STEPS, Decision, Seen, decide

Pages = Mapping[str, Counter[str] | None]
Pods = dict[str, dict[str, str]]
"""By version, the pod template of each Ready pod by its address and port."""

ANNOTATION = "hotfire.dev/promotion"
STEP_SECONDS = 300.0
"""A step that is not decided by then was not shown to be good."""
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
AT_ONCE, BATCH = 8, 90
ANSWER_SECONDS, POLL_SECONDS = 10.0, 2.0


# What both versions answer


def ask(address: str, model: str, number: int, *, bound: bool) -> Seen:
    """Return what one answer of a pod tells; whoever does not answer at all has erred."""
    body: Json = {"model": model, "max_tokens": TOKENS, "stream": True, "temperature": 0}
    body["messages"] = [{"role": "user", "content": f"Tell me of the number {number}."}]
    if bound:
        form = {"name": "number", "schema": SCHEMA}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    pod = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
    began = time.monotonic()
    try:
        pod.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = pod.getresponse()
        if reply.status != http.HTTPStatus.OK:
            return Seen(asked=1, errors=1, ended=0)
        return _timed(began, list(_texts(reply)), bound=bound)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return Seen(asked=1, errors=1, ended=0)
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
        lines = _got(address, "/metrics").decode(errors="replace").splitlines()
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


def _got(address: str, path: str) -> bytes:
    pod = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
    try:
        pod.request("GET", path)
        return pod.getresponse().read(1 << 22)
    finally:
        pod.close()


# The route, and who is on trial


@dataclasses.dataclass(kw_only=True)
class Trial:
    """A version on trial, and what is known of both since it began."""

    candidate: str
    pages: dict[str, Pages]
    step: int = 1
    began: float = dataclasses.field(default_factory=time.monotonic)
    number: int = 0
    seen: dict[str, Seen] = dataclasses.field(default_factory=dict)


class Gate:
    """Watches one route; ``turn`` looks once and does what is due."""

    def __init__(self, api: Api, namespace: str, route: str, stable: str, canary: str) -> None:
        self._api, self._names = api, (stable, canary)
        self._pods = f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D"
        self._route = (
            f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{route}"
        )
        self._trial: Trial | None = None

    def turn(self) -> str:
        """Return what was done, in words; raises OSError where nobody could look."""
        pods = {name: self._ready(name) for name in self._names}
        candidates = set(pods[self._names[1]].values())
        if len(candidates) != 1 or not pods[self._names[0]]:
            return f"Ready pods, with their templates: {json.dumps(pods)}"
        [candidate], route = candidates, self._api.get(self._route)
        note = json.loads((route["metadata"].get("annotations") or {}).get(ANNOTATION, "{}"))
        accepted = note.get("accepted", candidate)
        if candidate == accepted:
            self._trial = None
            due = {"accepted": accepted, "weight": note.get("weight", self._weight(route))}
            return "" if note == due else self._write(route, due["weight"], due)
        if note.get("back") == candidate:
            return ""
        if self._trial is None or self._trial.candidate != candidate:
            told = self._write(route, STEPS[0], note | {"trial": candidate})
            pages = {name: _pages(found) for name, found in pods.items()}
            self._trial = Trial(candidate=candidate, pages=pages)
            return told
        self._ask(self._trial, pods)
        return self._advance(self._trial, route, note, pods)

    def _ask(self, trial: Trial, pods: Pods) -> None:
        for name, found in pods.items():
            times = BATCH * (STABLE_TIMES if name == self._names[0] else 1)
            asked = asked_all(list(found), trial.number, times)
            trial.seen[name] = trial.seen.get(name, Seen(ended=0)) + asked
        trial.number += BATCH * STABLE_TIMES

    def _advance(self, trial: Trial, route: Json, note: Json, pods: Pods) -> str:
        """Give the version on trial what its step has come to, if it has come to anything."""
        stable, canary = (
            trial.seen[name] + since(trial.pages[name], _pages(found))
            for name, found in pods.items()
        )
        decision, why = decide(stable, canary, step=trial.step)
        late = time.monotonic() - trial.began > trial.step * STEP_SECONDS
        if decision is Decision.WAIT and not late:
            return ""
        if decision is not Decision.ON:
            known = {name: note[name] for name in ("accepted", "weight")}
            return self._write(route, 0, known | {"back": trial.candidate, "why": why})
        if trial.step == len(STEPS):
            return self._write(route, 100, {"accepted": trial.candidate, "weight": 100})
        told = self._write(route, STEPS[trial.step], note | {"why": why})
        trial.step += 1
        return told

    def _ready(self, name: str) -> dict[str, str]:
        """Return the pod template of each Ready pod of a version, by address and port."""
        found = {}
        for pod in self._api.get(self._pods + name)["items"]:
            conditions = {
                one["type"]: one["status"] for one in pod["status"].get("conditions") or ()
            }
            if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
                labels = pod["metadata"]["labels"]
                found[_address(pod)] = labels["pod-template-hash"]
        return found

    def _weight(self, route: Json) -> int:
        refs = [one for rule in route["spec"]["rules"] for one in rule.get("backendRefs") or ()]
        return next((int(one["weight"]) for one in refs if one["name"] == self._names[1]), 0)

    def _write(self, route: Json, weight: int, note: Json) -> str:
        """Write weights and note, unless somebody else wrote the route meanwhile."""
        weights = dict(zip(self._names, (100 - weight, weight), strict=True))
        rules = [
            rule
            | {
                "backendRefs": [
                    one | {"weight": weights.get(one["name"], one.get("weight", 1))}
                    for one in rule.get("backendRefs") or ()
                ]
            }
            for rule in route["spec"]["rules"]
        ]
        metadata = {name: route["metadata"][name] for name in ("uid", "resourceVersion")}
        metadata["annotations"] = {ANNOTATION: json.dumps(note)}
        self._api.patch(self._route, {"metadata": metadata, "spec": {"rules": rules}})
        return f"{self._names[1]} gets {weight} %: {json.dumps(note)}"


def _address(pod: Json) -> str:
    """Return where a pod serves: its port called http."""
    ports = [one for part in pod["spec"]["containers"] for one in part.get("ports") or ()]
    port = next(one["containerPort"] for one in ports if one.get("name") == "http")
    return f"{pod['status']['podIP']}:{port}"


def asked_all(addresses: list[str], first: int, times: int) -> Seen:
    """Return what pods answer in turn, to structured questions and to half as many timed ones."""
    model = json.loads(_got(addresses[0], "/v1/models"))["data"][0]["id"]

    def one(number: int) -> Seen:
        address = addresses[number // 3 % len(addresses)]
        return ask(address, model, number, bound=number % 3 != 0)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(one, range(first, first + times)), Seen(ended=0))


def _pages(addresses: Iterable[str]) -> Pages:
    return {address: page(address) for address in addresses}


def main(namespace: str, route: str, stable: str, canary: str) -> None:
    """Look every two seconds, for as long as the pod lives."""
    gate = Gate(Api(), namespace, route, stable, canary)
    while True:
        try:
            told = gate.turn()
        except (OSError, http.client.HTTPException, ValueError) as error:
            told = f"nobody could look: {error}"
        if told:
            sys.stdout.write(told + "\n")
            sys.stdout.flush()
        time.sleep(POLL_SECONDS)  # noqa: TID251 - in a pod that has no more of hotfire than this


if __name__ == "__main__":
    main(*sys.argv[1:])
