"""An API server in miniature: enough of Kubernetes' HTTP to hold objects, with its refusals."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from kubernetes import client as k8s

from hotfire.cluster import Cluster

Document = dict[str, Any]

KINDS = {
    "scheduling.k8s.io/v1": {"PriorityClass": False},
    "v1": {"Namespace": False, "Pod": True, "ConfigMap": True, "Node": False, "Event": True}
    | {"Service": True},
    "apps/v1": {"DaemonSet": True, "Deployment": True},
    "batch/v1": {"Job": True},
    "policy/v1": {"PodDisruptionBudget": True},
    "coordination.k8s.io/v1": {"Lease": True},
    "discovery.k8s.io/v1": {"EndpointSlice": True},
    "inference.networking.k8s.io/v1": {"InferencePool": True},
}


class FakeApi:
    """The objects, by (api version, plural, namespace, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str, str], Document] = {}
        self.refuse: dict[str, int] = {}
        """HTTP status by ``METHOD plural``, to refuse such requests with."""
        self.says: dict[str, str] = {}
        """What such a refusal says, by the same words."""
        self.requests: list[str] = []
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
        return document

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


def connect(address: str) -> Cluster:
    """Return the real client of such a server."""
    return Cluster(k8s.ApiClient(k8s.Configuration(host=address)), api_seconds=5.0)


class _Handler(BaseHTTPRequestHandler):
    api: FakeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if (found := _discovery(path)) is not None:
            self._reply(HTTPStatus.OK, found)
            return
        version, plural, namespace, name = _split(path)
        if self._refused("GET", plural):
            return
        if name:
            document = self.api.objects.get((version, plural, namespace, name))
            self._reply(HTTPStatus.OK, document) if document else self._missing()
            return
        items = [
            document
            for (one_version, one_plural, place, _), document in sorted(self.api.objects.items())
            if (one_version, one_plural) == (version, plural) and namespace in ("", place)
        ]
        chosen = [one for one in items if _selected(one, self._query("labelSelector"))]
        self._reply(HTTPStatus.OK, {"kind": "List", "apiVersion": version, "items": chosen})

    def do_PATCH(self) -> None:
        version, plural, namespace, name = _split(urlsplit(self.path).path)
        body = yaml.safe_load(self._body())
        if self._refused("PATCH", plural):
            return
        key = (version, plural, namespace, name)
        applying = "apply-patch" in self.headers["Content-Type"]
        if key not in self.api.objects and not applying:
            self._missing()
            return
        old = self.api.objects.get(key, {"metadata": {"uid": str(uuid.uuid4())}})
        new = _merged(old, body)
        if not self._query("dryRun"):
            self.api.objects[key] = new
        self._reply(HTTPStatus.OK, new)

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        version, plural, namespace, name = _split(path)
        body = json.loads(self._body())
        if path.endswith("/eviction"):
            self._evict((version, plural, namespace, name), body)
            return
        if self._refused("POST", plural):
            return
        stored = _merged({"metadata": {"uid": str(uuid.uuid4()), "namespace": namespace}}, body)
        if not self._query("dryRun"):
            self.api.put(stored)
        self._reply(HTTPStatus.CREATED, stored)

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
        document = self.api.objects.get((version, plural, namespace, name))
        if document is None:
            self._missing()
            return
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != document["metadata"]["uid"]:
            self._reply(HTTPStatus.CONFLICT, {"kind": "Status", "message": "uid differs"})
            return
        if not options.get("dryRun"):
            del self.api.objects[version, plural, namespace, name]
        self._reply(HTTPStatus.OK, {"kind": "Status", "status": "Success"})

    def log_message(self, *_: object) -> None:
        return

    def _refused(self, method: str, plural: str) -> bool:
        self.api.requests.append(f"{method} {plural}")
        status = self.api.refuse.get(f"{method} {plural}")
        if status:
            said = self.api.says.get(f"{method} {plural}", f"refused {method} {plural}")
            self._reply(status, {"kind": "Status", "message": said})
        return status is not None

    def _query(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def _body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def _missing(self) -> None:
        self._reply(HTTPStatus.NOT_FOUND, {"kind": "Status", "message": "not found"})

    def _reply(self, status: int, document: Document) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _discovery(path: str) -> Document | None:
    if path == "/version":
        return {"gitVersion": "v1.36.3", "major": "1", "minor": "36"}
    if path == "/apis":
        groups = [version for version in KINDS if "/" in version]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in groups]}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in KINDS:
        return None
    resources = [_resource(kind, namespaced) for kind, namespaced in KINDS[version].items()]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def _group(version: str) -> Document:
    one = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [one], "preferredVersion": one}


def _resource(kind: str, namespaced: bool) -> Document:
    verbs = ["get", "list", "patch", "delete", "create"]
    return {
        "name": _plural(kind),
        "kind": kind,
        "namespaced": namespaced,
        "verbs": verbs,
        "singularName": kind.lower(),
    }


def _split(path: str) -> tuple[str, str, str, str]:
    """Return api version, plural, namespace and name of a request path."""
    parts = path.strip("/").split("/")
    version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return version, rest[0], namespace, rest[1] if len(rest) > 1 else ""


def _selected(document: Document, selector: str) -> bool:
    labels = document["metadata"].get("labels") or {}
    wanted = [term.partition("=") for term in selector.split(",") if term]
    return all(labels.get(key) == value if sep else key in labels for key, sep, value in wanted)


def _merged(old: Document, new: Document) -> Document:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
