"""The promotion gate of the reference stack: gives a new version more users, or takes them back.

It needs nothing but Python 3.11, so that a stock image can run it from a ConfigMap:

    python -m hotfire.engine.promotion_gate NAMESPACE ROUTE STABLE CANARY

STABLE and CANARY are backends of the HTTPRoute; the pods of each bear its name as ``app``. A
canary of another pod template than the one last accepted is on trial: both versions are asked, and
their metrics pages read. Its weight goes 5, 25, 50, 100, or back to 0; what is missing is never
good. Whoever answers known questions otherwise than the version before it gets no user at all,
unless its template says that its answers change. What was decided stands in an annotation of the
route.
"""

import dataclasses
import http.client
import json
import sys
import time
from typing import NamedTuple

from hotfire.engine.api_server import Api, Json
from hotfire.engine.promotion_answers import (
    Pages,
    asked_all,
    compared,
    fingerprints,
    pages,
    since,
)
from hotfire.engine.promotion_decision import (
    STABLE_TIMES,
    STEPS,
    Decision,
    Seen,
    decide,
    worsened,
)

ANNOTATION = "hotfire.dev/promotion"
CHANGED = "hotfire.dev/answers"
"""On a pod template, with the value ``changed``: it is to answer otherwise than the former one."""
STEP_SECONDS = 300.0
"""A step that is not decided by then was not shown to be good."""
BATCH, POLL_SECONDS = 90, 2.0


class Template(NamedTuple):
    """What a pod was made from."""

    hash: str
    answers_change: bool


Pods = dict[str, dict[str, Template]]
"""By version, the template of each Ready pod by its address and port."""


@dataclasses.dataclass(kw_only=True)
class Trial:
    """A version on trial, and what is known of both since it began."""

    candidate: str
    pages: dict[str, Pages]
    seen: dict[str, Seen]
    step: int = 1
    began: float = dataclasses.field(default_factory=time.monotonic)
    number: int = 0


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
        if candidate.hash == note.get("accepted", candidate.hash):
            self._trial = None
            return self._keep(route, note, candidate, pods)
        if note.get("back") == candidate.hash:
            return ""
        if self._trial is None or self._trial.candidate != candidate.hash:
            return self._begin(route, note, candidate, pods)
        self._ask(self._trial, pods)
        return self._advance(self._trial, route, note, pods)

    def _keep(self, route: Json, note: Json, accepted: Template, pods: Pods) -> str:
        """Give the accepted version its users, and know what it answers."""
        due = {"accepted": accepted.hash, "weight": note.get("weight", self._weight(route))}
        due["answers"] = note.get("answers") or fingerprints(list(pods[self._names[1]]))
        return "" if note == due else self._write(route, due["weight"], due)

    def _begin(self, route: Json, note: Json, candidate: Template, pods: Pods) -> str:
        """Begin the trial of a version, unless it answers otherwise than it should."""
        former = [] if candidate.answers_change else note.get("answers", [])
        now = fingerprints(list(pods[self._names[1]])) if former else []
        canary = compared(former, now)
        stable = Seen(known=canary.known, ended=0)
        if otherwise := "; ".join(worsened(stable, canary)):
            return self._take_back(route, note, candidate.hash, otherwise)
        told = self._write(route, STEPS[0], note | {"trial": candidate.hash})
        self._trial = Trial(
            candidate=candidate.hash,
            pages={name: pages(found) for name, found in pods.items()},
            seen=dict(zip(self._names, (stable, canary), strict=True)),
        )
        return told

    def _ask(self, trial: Trial, pods: Pods) -> None:
        for name, found in pods.items():
            times = BATCH * (STABLE_TIMES if name == self._names[0] else 1)
            asked = asked_all(list(found), trial.number, times)
            trial.seen[name] += asked
        trial.number += BATCH * STABLE_TIMES

    def _advance(self, trial: Trial, route: Json, note: Json, pods: Pods) -> str:
        """Give the version on trial what its step has come to, if it has come to anything."""
        stable, canary = (
            trial.seen[name] + since(trial.pages[name], pages(found))
            for name, found in pods.items()
        )
        decision, why = decide(stable, canary, step=trial.step)
        late = time.monotonic() - trial.began > trial.step * STEP_SECONDS
        if decision is Decision.WAIT and not late:
            return ""
        if decision is not Decision.ON:
            return self._take_back(route, note, trial.candidate, why)
        if trial.step == len(STEPS):
            return self._write(route, 100, {"accepted": trial.candidate, "weight": 100})
        told = self._write(route, STEPS[trial.step], note | {"why": why})
        trial.step += 1
        return told

    def _take_back(self, route: Json, note: Json, candidate: str, why: str) -> str:
        """Give a version no user any more, and say why."""
        kept = {name: note[name] for name in ("accepted", "weight", "answers") if name in note}
        return self._write(route, 0, kept | {"back": candidate, "why": why})

    def _ready(self, name: str) -> dict[str, Template]:
        """Return the pod template of each Ready pod of a version, by address and port."""
        found = {}
        for pod in self._api.get(self._pods + name)["items"]:
            conditions = {
                one["type"]: one["status"] for one in pod["status"].get("conditions") or ()
            }
            if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
                found[_address(pod)] = _template(pod["metadata"])
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


def _template(metadata: Json) -> Template:
    changed = (metadata.get("annotations") or {}).get(CHANGED) == "changed"
    return Template(metadata["labels"]["pod-template-hash"], changed)


def _address(pod: Json) -> str:
    """Return where a pod serves: its port called http."""
    ports = [one for part in pod["spec"]["containers"] for one in part.get("ports") or ()]
    port = next(one["containerPort"] for one in ports if one.get("name") == "http")
    return f"{pod['status']['podIP']}:{port}"


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
