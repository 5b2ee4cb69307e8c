"""An API server in miniature: enough of Kubernetes' HTTP to hold objects, with its refusals."""

import functools
import itertools
import json
import operator
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from kubernetes import client as k8s

from hotfire.cluster import Cluster
from hotfire.patience import Patience

Document = dict[str, Any]

KINDS = {
    "admissionregistration.k8s.io/v1": {"ValidatingWebhookConfiguration": False},
    "apiextensions.k8s.io/v1": {"CustomResourceDefinition": False},
    "scheduling.k8s.io/v1": {"PriorityClass": False},
    "v1": {
        "Namespace": False,
        "Pod": True,
        "ConfigMap": True,
        "Secret": True,
        "Service": True,
        "Node": False,
        "ServiceAccount": True,
        "Event": True,
        "ResourceQuota": True,
    },
    "apps/v1": {"DaemonSet": True, "Deployment": True, "ReplicaSet": True, "StatefulSet": True},
    "batch/v1": {"Job": True},
    "autoscaling/v2": {"HorizontalPodAutoscaler": True},
    "authorization.k8s.io/v1": {"SelfSubjectAccessReview": False},
    "policy/v1": {"PodDisruptionBudget": True},
    "coordination.k8s.io/v1": {"Lease": True},
    "discovery.k8s.io/v1": {"EndpointSlice": True},
    "gateway.networking.k8s.io/v1": {"Gateway": True, "HTTPRoute": True},
    "resource.k8s.io/v1": {"ResourceClaim": True},
    "resource.k8s.io/v1beta2": {"DeviceTaintRule": False},
    "inference.networking.k8s.io/v1": {"InferencePool": True},
    "serving.kserve.io/v1beta1": {"InferenceService": True},
    "rbac.authorization.k8s.io/v1": {
        "ClusterRole": False,
        "ClusterRoleBinding": False,
        "Role": True,
        "RoleBinding": True,
    },
}


SCALES = {("apps/v1", "deployments"): ("replicas",), ("apps/v1", "statefulsets"): ("replicas",)}
"""By version and plural: where the number of replicas is below ``spec``, for what has a scale."""


class FakeApi:
    """The objects, by (api version, plural, namespace, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str, str], Document] = {}
        self.refuse: dict[str, int] = {}
        """HTTP status by ``METHOD plural``, to refuse such requests with."""
        self.refuse_discovery = 0
        """HTTP status to refuse the question with what is served; 0: it is answered."""
        self.discovered: list[str] = []
        """The paths of all such questions."""
        self.before: dict[str, Callable[[], object]] = {}
        """What happens just before the first such request is carried out."""
        self.troubles: dict[str, list[int | str]] = {}
        """What befalls the next requests of ``METHOD plural``, one each: a status, ``cut`` for a
        connection that ends without an answer, ``lost`` for one that ends after the deed."""
        self.retry_after: str | None = None
        """What comes with every refusal."""
        self.told: list[tuple[int, Document]] = []
        """Each state of each object with its resource version, as a watch tells it."""
        self.says: dict[str, str] = {}
        """What such a refusal says, by the same words."""
        self.forbidden: set[tuple[str, str]] = set()
        """Verbs and resources (``pods/exec``) that a review says no to."""
        self.pages: dict[tuple[str, str, str], str] = {}
        """What pods serve, by name, port and path."""
        self.logs: dict[str, bytes] = {}
        """What each pod has written, by its name."""
        self.requests: list[str] = []
        self.lock = threading.RLock()
        """Held while a request is carried out, as etcd writes one object after the other."""
        self._versions = itertools.count(1)
        self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}})

    def put(self, document: Document) -> Document:
        """Store an object as its controller would, status included."""
        metadata = document["metadata"]
        metadata.setdefault("uid", str(uuid.uuid4()))
        key = (
            document["apiVersion"],
            _plural(document["kind"]),
            metadata.get("namespace", ""),
            metadata["name"],
        )
        self.objects[key] = document
        self.tell(document)
        return document

    def remove(self, key: tuple[str, str, str, str]) -> None:
        """Remove an object; with a namespace goes whatever lies in it."""
        del self.objects[key]
        if key[1] == "namespaces":
            self.objects = {each: one for each, one in self.objects.items() if each[2] != key[3]}

    def tell(self, document: Document) -> None:
        """Let watches know of an object's state, under a version of its own."""
        version = next(self._versions)
        document["metadata"]["resourceVersion"] = str(version)
        self.told.append((version, json.loads(json.dumps(document))))

    def names(self, plural: str) -> list[str]:
        return sorted(name for _, one, _, name in self.objects if one == plural)


def _plural(kind: str) -> str:
    return kind.lower() + "s"


@contextmanager
def serving(api: FakeApi) -> Iterator[str]:
    """Serve on a port of the loopback; yield the address."""
    handler = type("Handler", (_Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def connect(
    address: str, patience: Patience | None = None, *, owner: str = "hotfire-system"
) -> Cluster:
    """Return the real client of such a server; by default it asks once."""
    api = k8s.ApiClient(k8s.Configuration(host=address))
    return Cluster(api, api_seconds=5.0, owner=owner, patience=patience)


class _Handler(BaseHTTPRequestHandler):
    api: FakeApi
    protocol_version = "HTTP/1.1"
    # An answer's head and body are two writes; the second would wait 40 ms for the first one's ACK.
    disable_nagle_algorithm = True
    _lost = False

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if (found := _discovery(path)) is not None:
            self.api.discovered.append(path)
            self._reply(self.api.refuse_discovery or HTTPStatus.OK, found)
            return
        if "/proxy/" in path:
            self._proxied(path)
            return
        version, plural, namespace, name = _split(path)
        if self._refused("GET", plural):
            return
        if self._query("watch"):
            self._watched(plural)
            return
        if path.endswith("/log"):
            self._write(HTTPStatus.OK, self.api.logs[name][: int(self._query("limitBytes"))])
            return
        if name:
            self._reply_one(version, plural, namespace, name)
            return
        items = [
            document
            for (one_version, one_plural, place, _), document in sorted(self.api.objects.items())
            if (one_version, one_plural) == (version, plural) and namespace in ("", place)
        ]
        chosen = [one for one in items if _selected(one, self._query("labelSelector"))]
        metadata = {"resourceVersion": str(self.api.told[-1][0])}
        begin, most = int(self._query("continue") or 0), int(self._query("limit") or len(chosen))
        if begin + most < len(chosen):
            metadata["continue"] = str(begin + most)
        chosen = chosen[begin : begin + most]
        found = {"kind": "List", "apiVersion": version, "metadata": metadata, "items": chosen}
        self._reply(HTTPStatus.OK, found)

    def _reply_one(self, *key: str) -> None:
        version, plural, namespace, name = key
        document = self.api.objects.get((version, plural, namespace, name))
        if document and urlsplit(self.path).path.endswith("/scale"):
            document = _scale(document, SCALES[version, plural])
        self._reply(HTTPStatus.OK, document) if document else self._missing()

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        version, plural, namespace, name = _split(path)
        body = json.loads(self._body())
        if path.endswith("/eviction"):
            self._evict((version, plural, namespace, name), body)
            return
        if self._refused("POST", plural):
            return
        if plural.endswith("accessreviews"):
            self._review(body)
            return
        with self.api.lock:
            if (version, plural, namespace, body["metadata"]["name"]) in self.api.objects:
                self._conflict("AlreadyExists")
                return
            if self._query("dryRun"):
                self._reply(HTTPStatus.CREATED, body)
                return
            self._store(body, version, namespace)

    def do_PUT(self) -> None:
        version, plural, namespace, name = _split(urlsplit(self.path).path)
        body = json.loads(self._body())
        if self._refused("PUT", plural):
            return
        with self.api.lock:
            document = self.api.objects.get((version, plural, namespace, name))
            if document is None:
                self._missing()
            elif not _is_as_read(document, body["metadata"]):
                self._conflict("the object has been modified")
            else:
                body["metadata"]["uid"] = document["metadata"]["uid"]
                self._store(body, version, namespace)

    def do_PATCH(self) -> None:
        version, plural, namespace, name = _split(urlsplit(self.path).path)
        body = yaml.safe_load(self._body())
        if self._refused("PATCH", plural):
            return
        key = (version, plural, namespace, name)
        applying = "apply-patch" in self.headers["Content-Type"]
        with self.api.lock:
            if key not in self.api.objects and not applying:
                self._missing()
                return
            old = self.api.objects.get(key, {"metadata": {}})
            if urlsplit(self.path).path.endswith("/scale"):
                body = _scaling(body, SCALES[version, plural])
            new = _merged(old, body)
            if applying and key in self.api.objects and self._query("force").lower() != "true":
                self._conflict("conflict with another manager")
            elif self._query("dryRun"):
                self._reply(HTTPStatus.OK, new)
            else:
                self._store(new, version, namespace)

    def _review(self, body: Document) -> None:
        spec = body["spec"]
        asked = spec.get("resourceAttributes") or spec["nonResourceAttributes"]
        names = (asked.get("resource"), asked.get("subresource"))
        resource = asked.get("path") or "/".join(filter(None, names))
        allowed = (asked["verb"], resource) not in self.api.forbidden
        self._reply(HTTPStatus.CREATED, {**body, "status": {"allowed": allowed}})

    def _proxied(self, path: str) -> None:
        """Answer with a page of a pod, at /api/v1/namespaces/NS/pods/NAME:PORT/proxy/..."""
        if self._refused("GET", "pods/proxy"):
            return
        place, _, page = path.partition("/proxy/")
        name, _, port = place.rpartition("/")[2].partition(":")
        text = self.api.pages.get((name, port, f"/{page}"))
        if text is None:
            self._missing()
            return
        data = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _evict(self, key: tuple[str, str, str, str], body: Document) -> None:
        options = body["deleteOptions"]
        if self._refused("POST", "evictions"):
            return
        if options["preconditions"]["uid"] != self.api.objects[key]["metadata"]["uid"]:
            self._reply(HTTPStatus.CONFLICT, {"kind": "Status", "message": "uid differs"})
            return
        if not options.get("dryRun"):
            del self.api.objects[key]
        self._reply(HTTPStatus.CREATED, {"kind": "Status", "status": "Success"})

    def do_DELETE(self) -> None:
        version, plural, namespace, name = _split(urlsplit(self.path).path)
        options = json.loads(self._body() or "{}")
        if self._refused("DELETE", plural):
            return
        if not name:
            self._delete_all(version, plural, namespace)
            return
        key = (version, plural, namespace, name)
        with self.api.lock:
            document = self.api.objects.get(key)
            if document is None:
                self._missing()
            elif not _is_as_read(document, options.get("preconditions") or {}):
                self._conflict("a precondition failed")
            else:
                if not options.get("dryRun"):
                    self.api.remove(key)
                self._reply(HTTPStatus.OK, {"kind": "Status", "status": "Success"})

    def _delete_all(self, version: str, plural: str, namespace: str) -> None:
        """Delete every object of a kind that a selector selects."""
        with self.api.lock:
            for key, document in list(self.api.objects.items()):
                alike = key[:3] == (version, plural, namespace)
                if alike and _selected(document, self._query("labelSelector")):
                    self.api.remove(key)
        self._reply(HTTPStatus.OK, {"kind": "List"})

    def _store(self, document: Document, version: str, namespace: str) -> None:
        metadata = {**document["metadata"], **({"namespace": namespace} if namespace else {})}
        stored = self.api.put({**document, "apiVersion": version, "metadata": metadata})
        self._reply(HTTPStatus.OK, stored)

    def _conflict(self, message: str) -> None:
        self._reply(HTTPStatus.CONFLICT, {"kind": "Status", "message": message})

    def log_message(self, *_: object) -> None:
        return

    def _refused(self, method: str, plural: str) -> bool:
        self.api.requests.append(f"{method} {plural}")
        if (happens := self.api.before.pop(f"{method} {plural}", None)) is not None:
            happens()
        what = f"{method} {plural}"
        coming = self.api.troubles.get(what) or []
        trouble = coming.pop(0) if coming else self.api.refuse.get(what)
        self._lost = trouble == "lost"
        if trouble == "cut":
            self._cut()
        elif isinstance(trouble, int):
            said = self.api.says.get(what, f"refused {what}")
            self._reply(trouble, {"kind": "Status", "message": said})
        return trouble is not None and not self._lost

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _watched(self, plural: str) -> None:
        """Tell what has happened since a version, and end, as an API server may at any time."""
        since = int(self._query("resourceVersion"))
        news = [one for version, one in self.api.told if version > since]
        mine = [one for one in news if _plural(one["kind"]) == plural]
        lines = [json.dumps({"type": "MODIFIED", "object": one}) + "\n" for one in mine]
        data = "".join(lines).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _query(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def _body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def _missing(self) -> None:
        self._reply(HTTPStatus.NOT_FOUND, {"kind": "Status", "message": "not found"})

    def _reply(self, status: int, document: Document) -> None:
        if self._lost:
            self._cut()
            return
        self._write(status, json.dumps(document).encode())

    def _write(self, status: int, data: bytes) -> None:
        self.send_response(status)
        if self.api.retry_after and status >= HTTPStatus.BAD_REQUEST:
            self.send_header("Retry-After", self.api.retry_after)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _discovery(path: str) -> Document | None:
    if path == "/version":
        return {"gitVersion": "v1.36.3", "major": "1", "minor": "36"}
    if path == "/apis":
        names = dict.fromkeys(one.partition("/")[0] for one in KINDS if "/" in one)
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(n) for n in names]}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in KINDS:
        return None
    resources = [_resource(kind, namespaced) for kind, namespaced in KINDS[version].items()]
    resources += [
        {**_resource("Scale", True), "name": f"{plural}/scale"}
        for of_version, plural in SCALES
        if of_version == version
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def _group(name: str) -> Document:
    there = [one for one in KINDS if one.startswith(f"{name}/")]
    versions = [{"groupVersion": one, "version": one.partition("/")[2]} for one in there]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource(kind: str, namespaced: bool) -> Document:
    verbs = ["get", "list", "patch", "delete", "create", "update"]
    return {
        "name": _plural(kind),
        "kind": kind,
        "namespaced": namespaced,
        "verbs": verbs,
        "singularName": kind.lower(),
    }


def _scale(document: Document, path: tuple[str, ...]) -> Document:
    """Return an object as its scale subresource shows it."""
    replicas = functools.reduce(operator.getitem, path, document["spec"])
    labels = (document["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    status = {"replicas": replicas, "selector": selector}
    status |= {key: one for key, one in (document.get("status") or {}).items() if key in status}
    head = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": document["metadata"]}
    return {**head, "spec": {"replicas": replicas}, "status": status}


def _scaling(body: Document, path: tuple[str, ...]) -> Document:
    """Return a patch of a scale as one of its object."""
    spec: Any = body["spec"]["replicas"]
    for step in reversed(path):
        spec = {step: spec}
    return {"metadata": body.get("metadata") or {}, "spec": spec}


def _split(path: str) -> tuple[str, str, str, str]:
    """Return api version, plural, namespace and name of a request path."""
    parts = path.strip("/").split("/")
    version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return version, rest[0], namespace, rest[1] if len(rest) > 1 else ""


def _is_as_read(document: Document, wanted: Document) -> bool:
    """Return whether an object has the uid and the version that a writer names, if any."""
    names = [name for name in ("uid", "resourceVersion") if wanted.get(name)]
    return all(document["metadata"][name] == wanted[name] for name in names)


def _selected(document: Document, selector: str) -> bool:
    labels = document["metadata"].get("labels") or {}
    wanted = [term.partition("=") for term in selector.split(",") if term]
    return all(labels.get(key) == value if sep else key in labels for key, sep, value in wanted)


def _merged(old: Document, new: Document) -> Document:
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
            continue
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
