"""The operator of the reference stack: makes each instance of a ModelServing a group of pods.

It needs nothing but Python 3.11, so that a stock image can run it from a ConfigMap:

    python -m hotfire.engine.model_serving ACCELERATOR

A tensor-parallel engine computes on all pods of a group at once, so that a group has a fixed size
and is made, scaled and lost as a whole. Each is a StatefulSet of its own: its pods keep their names
and come back without this program, and none gets a new template before somebody deletes it. What
there is stands in the status; all of it goes with the ModelServing that owns it.
"""

import copy
import http.client
import sys
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from hotfire.engine.api_server import Api, Json

GROUP, KIND = "serving.hotfire.dev", "ModelServing"
API_VERSION = f"{GROUP}/v1alpha1"
NAME, INSTANCE = f"{GROUP}/name", f"{GROUP}/instance"
"""Labels of whatever belongs to a ModelServing, and to one instance."""
MANAGER = "model-serving"
POLL_SECONDS = 1.0
TROUBLES = (OSError, http.client.HTTPException, ValueError)


class Operator:
    """Brings what there is to what is asked for; ``turn`` looks once at every ModelServing."""

    def __init__(self, api: Api, accelerator: str) -> None:
        """``accelerator`` is the extended resource of which each pod gets ``gpusPerPod``."""
        self._api, self._accelerator = api, accelerator

    def turn(self) -> list[str]:
        """Return what could not be done; the next turn tries again."""
        troubles = []
        for serving in self._api.get(f"/apis/{API_VERSION}/modelservings")["items"]:
            try:
                self.reconcile(serving)
            except TROUBLES as error:
                troubles.append(f"{serving['metadata']['name']}: {error}")
        return troubles

    def reconcile(self, serving: Json) -> None:
        """Have the groups that are asked for and no others, and tell of them in the status."""
        name, namespace = serving["metadata"]["name"], serving["metadata"]["namespace"]
        if serving["metadata"].get("deletionTimestamp"):
            return
        self._apply(f"/api/v1/namespaces/{namespace}/services", service(serving))
        place = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
        groups = [
            self._apply(place, group(serving, index, self._accelerator))
            for index in range(serving["spec"]["instances"])
        ]
        wanted = {one["metadata"]["name"] for one in groups}
        chosen = urllib.parse.quote(f"{NAME}={name}")
        for one in self._api.get(f"{place}?labelSelector={chosen}")["items"]:
            if one["metadata"]["name"] not in wanted:
                self._api.delete(f"{place}/{one['metadata']['name']}")
        told = status(serving, groups)
        if told != serving.get("status"):
            own = f"/apis/{API_VERSION}/namespaces/{namespace}/modelservings/{name}"
            self._api.patch(f"{own}/status", {"status": told})

    def _apply(self, place: str, document: Json) -> Json:
        return self._api.apply(f"{place}/{document['metadata']['name']}", document, manager=MANAGER)


# What belongs to a ModelServing


def service(serving: Json) -> Json:
    """Return what gives each pod a name in DNS, before it is Ready: a group starts by these."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {NAME: serving["metadata"]["name"]},
    }
    metadata = _owned(serving, serving["metadata"]["name"], {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def group(serving: Json, index: int, accelerator: str) -> Json:
    """Return one instance: as many pods as each has, with as many accelerators as each pod has."""
    spec, name = serving["spec"], f"{serving['metadata']['name']}-{index}"
    template = copy.deepcopy(spec["template"])
    first = template["spec"]["containers"][0]
    limits = first.setdefault("resources", {}).setdefault("limits", {})
    limits[accelerator] = str(spec["gpusPerPod"])
    metadata = _owned(serving, name, {INSTANCE: name})
    written = template.setdefault("metadata", {})
    written["labels"] = {**written.get("labels", {}), **metadata["labels"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": {
            "replicas": spec["replicas"],
            "serviceName": serving["metadata"]["name"],
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": metadata["labels"]},
            "template": template,
        },
    }


def _owned(serving: Json, name: str, labels: dict[str, str]) -> Json:
    """Return the metadata of an object that goes when its ModelServing does."""
    owner = {field: serving["metadata"][field] for field in ("name", "uid")}
    owner |= {"apiVersion": API_VERSION, "kind": KIND, "controller": True}
    return {
        "name": name,
        "labels": {NAME: serving["metadata"]["name"], **labels},
        "ownerReferences": [{**owner, "blockOwnerDeletion": True}],
    }


# What there is


def status(serving: Json, groups: Sequence[Json]) -> Json:
    """Return what there is of a ModelServing."""
    ready = sum(map(is_complete, groups))
    told = f"{ready} of {len(groups)} instances have all their pods Ready"
    return {
        "observedGeneration": serving["metadata"]["generation"],
        "instances": len(groups),
        "readyInstances": ready,
        "selector": f"{NAME}={serving['metadata']['name']}",
        "conditions": conditions(serving, whole=ready == len(groups), message=told),
    }


def is_complete(one: Json) -> bool:
    """Return whether every pod of a group is Ready: without one of them it computes nothing."""
    seen = one.get("status") or {}
    if seen.get("observedGeneration", 0) < one["metadata"]["generation"]:
        return False
    return bool(seen.get("readyReplicas", 0) == one["spec"]["replicas"])


def conditions(serving: Json, *, whole: bool, message: str) -> list[Json]:
    """Return the conditions: whatever was whole once and is no longer is degraded."""
    generation = serving["metadata"]["generation"]
    former = {one["type"]: one for one in (serving.get("status") or {}).get("conditions") or ()}
    was_whole = any(
        (one["status"], one.get("observedGeneration")) == ("True", generation)
        for kind, one in former.items()
        if kind != "Progressing"
    )
    states = {
        "Ready": whole,
        "Progressing": not whole and not was_whole,
        "Degraded": not whole and was_whole,
    }
    about = {
        "reason": "Complete" if whole else "Incomplete",
        "message": message,
        "observedGeneration": generation,
    }
    return [
        {"type": kind, "status": str(state), **about, **_since(str(state), former.get(kind))}
        for kind, state in states.items()
    ]


def _since(state: str, former: Json | None) -> dict[str, str]:
    """Return since when a condition has its state."""
    if former and former["status"] == state:
        return {"lastTransitionTime": former["lastTransitionTime"]}
    return {"lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def main(accelerator: str) -> None:
    """Look every second, for as long as the pod lives."""
    operator = Operator(Api(), accelerator)
    while True:
        try:
            _say(operator.turn())
        except TROUBLES as error:
            _say([f"nobody could look: {error}"])
        time.sleep(POLL_SECONDS)  # noqa: TID251 - in a pod that has no more of hotfire than this


if __name__ == "__main__":
    main(*sys.argv[1:])
