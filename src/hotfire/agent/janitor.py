"""The janitor: puts back in the cluster what a dead run broke there, when its Lease has ended.

It runs as a pod of a stock Python image beside the agents, and may do no more than the undos that
are armed need. It undoes by a closed list of ways; what an entry calls itself names no code.
"""

import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hotfire.agent.host import OperationError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SERVER = "https://kubernetes.default.svc"
ALIVE = Path("/tmp/alive")  # noqa: S108 - its own pod's
_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 2.0
_LARGEST_BYTES = 16 << 20
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SCALABLE = {"deployments", "statefulsets"}
CHANGED = "hotfire.dev/changed"
"""On an object while a check has changed it: the id of the undo entry."""
CHANGEABLE = {
    "httproutes": ("gateway.networking.k8s.io/v1", "rules"),
    "services": ("v1", "selector"),
    "deployments": ("apps/v1", "replicas"),
    "statefulsets": ("apps/v1", "replicas"),
    "leaderworkersets": ("leaderworkerset.x-k8s.io/v1", "replicas"),
    "inferenceservices": ("serving.kserve.io/v1beta1", "predictor"),
    "llminferenceservices": ("serving.kserve.io/v1alpha2", "replicas"),
    "rayservices": ("ray.io/v1", "rayClusterConfig"),
    "dynamographdeployments": ("nvidia.com/v1alpha1", "services"),
    "vllmruntimes": ("production-stack.vllm.ai/v1alpha1", "deploymentConfig"),
}
"""What a check may change: API version and field of the spec, by the kind as paths name it.

An entry may name another version of the same group."""
SCALE = "scale"
"""Subresource by which any kind that has it is scaled, ours and those that we have never seen."""
_SCALED = re.compile(rf"[a-z0-9]+/{SCALE}")
_VERSION = re.compile(r"[a-z0-9][a-z0-9.-]*/v\d[a-z0-9]*")
MADE = {
    "memory-take": (("v1",), "pods", "api"),
    "service-delay": (("v1",), "pods", "api"),
    "device-taint": (
        ("resource.k8s.io/v1", "resource.k8s.io/v1beta2"), "devicetaintrules", "apis",
    ),
}  # fmt: skip
"""What a step makes, by its word: API versions, the newest first, kind as paths name it, and where
paths begin. An entry names the version that its cluster serves, else it is of the oldest."""
Document = dict[str, Any]


class _Staying(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the account's token is for the API server alone."""

    def redirect_request(self, *_: object) -> None:
        """Return no other request; the redirect is then an answer like any refusal."""


class Api:
    """The API server, as the pod's own account reaches it."""

    def __init__(self, server: str = _SERVER, account: Path = _ACCOUNT) -> None:
        self._server = server
        self._account = account
        secure = server.startswith("https:")
        context = ssl.create_default_context(cafile=account / "ca.crt") if secure else None
        self._opener = urllib.request.build_opener(
            _Staying, urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def get(self, path: str) -> Document | None:
        """Return what lies there; None where nothing does."""
        return self._ask("GET", path)

    def patch(self, path: str, body: Document) -> None:
        """Merge-patch an object."""
        if self._ask("PATCH", path, body) is None:
            raise OperationError(f"{path} is gone")

    def delete(self, path: str, uid: str) -> None:
        """Delete that very object; one that is gone is gone."""
        self._ask("DELETE", path, {"preconditions": {"uid": uid}})

    def _ask(self, method: str, path: str, body: Document | None = None) -> Document | None:
        headers = {
            # Read anew each time: the kubelet replaces it.
            "Authorization": f"Bearer {(self._account / 'token').read_text().strip()}",
            "Content-Type": f"application/{'merge-patch+' if method == 'PATCH' else ''}json",
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as reply:
                found = json.loads(reply.read(_LARGEST_BYTES))
                return found if isinstance(found, dict) else None
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise OperationError(f"{method} {path}: {error.code} {error.read(500)!r}") from error
        except (OSError, ValueError) as error:
            raise OperationError(f"{method} {path}: {error}") from error


class Janitor:
    """Watches one target's Lease; once that has ended, every open entry is undone."""

    def __init__(
        self, api: Api, namespace: str, *, lease: str, label: str, clock: Callable[[], float]
    ) -> None:
        """Watch the Lease of that name in ``namespace``, and undo entries with the label."""
        self._api = api
        self._lease = lease
        self._selector = urllib.parse.quote(f"{label}=true")
        self._namespace = namespace
        self._clock = clock
        self._seen: tuple[str, str] | None = None
        self._seen_at = clock()

    def turn(self) -> list[str]:
        """Look once, undo where it is time to; return what was done, or why it was not.

        Raises:
            OperationError: nobody could look.
        """
        if not self._ended():
            return []
        where = f"/api/v1/namespaces/{self._namespace}/configmaps"
        found = self._api.get(f"{where}?labelSelector={self._selector}") or {}
        return [told for copy in found.get("items", []) if (told := self._undone(copy))]

    def _ended(self) -> bool:
        """Return whether nobody has renewed the Lease for as long as it lasts, by our own clock."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases/{self._lease}"
        lease = self._api.get(path)
        if lease is None:
            return True
        spec = lease.get("spec") or {}
        seen = str(spec.get("holderIdentity")), str(spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        return self._clock() - self._seen_at > float(spec.get("leaseDurationSeconds") or 0)

    def _undone(self, copy: Document) -> str:
        name = (copy.get("metadata") or {}).get("name", "?")
        try:
            entry = json.loads(copy["data"]["entry.json"])
            way = WAYS.get(entry["undo"]["step"]["word"])
            if way is None or entry["state"] == "healed":
                return ""
            return f"{name}: {way(self._api, entry)}"
        except OperationError as error:
            return f"{name}: not undone: {error}"
        except Exception as error:  # noqa: BLE001 - one bad entry hides no other
            return f"{name}: cannot be read ({type(error).__name__}: {error})"


def scale_back(api: Api, entry: Document) -> str:
    """Give a workload its former number of replicas."""
    target, replicas = entry["target"], int(entry["undo"]["former"]["replicas"])
    resource = target["resource"]
    if resource not in _SCALABLE:
        raise OperationError(
            f"{resource!r} is not scaled back; known are {', '.join(sorted(_SCALABLE))}"
        )
    namespace, name = _name(target["namespace"]), _name(target["name"])
    path = f"/apis/apps/v1/namespaces/{namespace}/{resource}/{name}"
    # With the uid the server refuses another object under the same name.
    api.patch(path, {"metadata": {"uid": target["uid"]}, "spec": {"replicas": replicas}})
    return f"{resource} {namespace}/{name} has {replicas} replicas again"


def uncordon(api: Api, entry: Document) -> str:
    """Let pods come to a node again, where they could before."""
    target = entry["target"]
    if entry["undo"]["former"].get("unschedulable") == "true":
        return f"node {target['name']} was cordoned before"
    body = {"metadata": {"uid": target["uid"]}, "spec": {"unschedulable": None}}
    api.patch(f"/api/v1/nodes/{_name(target['name'])}", body)
    return f"node {target['name']} takes pods again"


def changeable(resource: str, version: str = "") -> tuple[str, str]:
    """Return API version and field of what a check may change; ``version`` goes before ours.

    Raises:
        OperationError: there is no such kind, or that is no version of its group.
    """
    if _SCALED.fullmatch(resource):
        if not _VERSION.fullmatch(version):
            raise OperationError(f"{version!r} is no version of a group, for {resource!r}")
        return version, "replicas"
    if resource not in CHANGEABLE:
        raise OperationError(f"{resource!r} is not put back")
    known, field = CHANGEABLE[resource]
    group = known.partition("/")[0]
    if version and not re.fullmatch(rf"{re.escape(group)}/v\d[a-z0-9]*", version):
        raise OperationError(f"{version!r} is no version of {group}")
    return version or known, field


def mark_of(found: Document) -> str:
    """Return the id of the entry by which an object or a pod template was changed; empty: none."""
    annotations = (found.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(CHANGED) or "")


def put_back(api: Api, entry: Document) -> str:
    """Give an object that a check has changed its former value, once: what came later stays."""
    target = entry["target"]
    version, field = changeable(target["resource"], target.get("version") or "")
    namespace, name = _name(target["namespace"]), _name(target["name"])
    plural, _, subresource = target["resource"].partition("/")
    root = "apis" if "/" in version else "api"
    path = f"/{root}/{version}/namespaces/{namespace}/{plural}/{name}"
    if mark_of(api.get(path) or {}) != entry["id"]:
        return f"{namespace}/{name} bears no mark of this change"
    former = {"spec": {field: json.loads(entry["undo"]["former"]["value"])}}
    unmarked = {"uid": target["uid"], "annotations": {CHANGED: None}}
    if subresource:
        # The mark goes last: who dies in between leaves what is put back once more.
        api.patch(f"{path}/{subresource}", {"metadata": {"uid": target["uid"]}, **former})
        former = {}
    api.patch(path, {"metadata": unmarked, **former})
    return f"{plural} {namespace}/{name} has its former {field} again"


def template_back(api: Api, entry: Document) -> str:
    """Give a Deployment its former pod template, once: what its owner rolled out later stays."""
    target = entry["target"]
    if target["resource"] != "deployments":
        raise OperationError(f"{target['resource']!r} has no pod template that is put back")
    namespace, name = _name(target["namespace"]), _name(target["name"])
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    former = former_template(api.get(path) or {}, entry)
    if former is None:
        return f"{namespace}/{name} bears no mark of this fault"
    api.patch(path, former)
    return f"deployments {namespace}/{name} has its former pod template again"


def former_template(found: Document, entry: Document) -> Document | None:
    """Return the patch that puts a Deployment's former pod template back; None: it is back.

    The mark of a change is the entry's id among the annotations of the template itself, or of the
    Deployment where pods were not to bear it.
    """
    template = (found.get("spec") or {}).get("template") or {}
    marks = {"object": mark_of(found), "template": mark_of(template)}
    if entry["id"] not in marks.values():
        return None
    unmarked: Document = {"annotations": {CHANGED: None}}
    changes: Document = {} if marks["object"] == entry["id"] else {"metadata": unmarked}
    former = entry["undo"]["former"]
    if "args" in former:
        args = {"args": json.loads(former["args"])}
        containers = template["spec"]["containers"]
        changes["spec"] = {"containers": with_args(containers, former["container"], args)}
    patch = template_patch(found, changes)
    return patch if "metadata" in changes else patch | {"metadata": patch["metadata"] | unmarked}


def with_args(containers: list[Document], name: str, args: Document) -> list[Document]:
    """Return a pod's containers with one of them changed: a merge patch replaces lists whole."""
    return [one | args if one["name"] == name else one for one in containers]


def template_patch(found: Document, changes: Document) -> Document:
    """Return a patch of the pod template of that very object, as it was read.

    With the version the server refuses it where somebody else wrote meanwhile.
    """
    seen = {name: found["metadata"][name] for name in ("uid", "resourceVersion")}
    return {"metadata": seen, "spec": {"template": changes}}


def made_name(target: str) -> str:
    """Return what an object is called that a step makes for a target: known beforehand."""
    return f"hotfire-{target}"


def remove_made(api: Api, entry: Document) -> str:
    """Delete what a step has made; what another made under that name stays."""
    versions, resource, root = MADE[entry["undo"]["step"]["word"]]
    namespace = entry["undo"]["former"].get("namespace")
    version = entry["undo"]["former"].get("version", versions[-1])
    if version not in versions:
        raise OperationError(f"{version!r} is no version of {resource}")
    place = f"/namespaces/{_name(namespace)}" if namespace else ""
    name = _name(made_name(entry["target"]["name"]))
    path = f"/{root}/{version}{place}/{resource}/{name}"
    found = api.get(path) or {}
    if mark_of(found) != entry["id"]:
        return f"{resource} {name} is not there, or not of this fault"
    api.delete(path, found["metadata"]["uid"])
    return f"{resource} {name} is deleted"


WAYS: dict[str, Callable[[Api, Document], str]] = {
    "scale": scale_back,
    "cordon": uncordon,
    "change": put_back,
    "roll-out": template_back,
    "canary-behaviour": template_back,
    "engine-arguments": template_back,
    **dict.fromkeys(MADE, remove_made),
    # A Service selects its own pods again before the one that stands before them goes.
    "service-delay": lambda api, entry: f"{put_back(api, entry)}; {remove_made(api, entry)}",
}


def _name(text: object) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise OperationError(f"{text!r} is no name of an object")
    return text


def main(namespace: str, lease: str, label: str) -> None:
    """Look every two seconds, for as long as the pod lives; its file tells that it can."""
    janitor = Janitor(
        Api(), _name(namespace), lease=_name(lease), label=label, clock=time.monotonic
    )
    told = ""
    while True:
        try:
            lines = janitor.turn()
            ALIVE.touch()
        except OperationError as error:
            lines = [str(error)]
        said = "\n".join(lines)
        if said and said != told:
            sys.stdout.write(said + "\n")
            sys.stdout.flush()
        told = said
        time.sleep(_POLL_SECONDS)  # noqa: TID251 - in a pod that has no more of hotfire than this


if __name__ == "__main__":
    main(*sys.argv[1:])
