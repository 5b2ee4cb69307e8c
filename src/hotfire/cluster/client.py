"""The Kubernetes client: every call with a deadline, every write recorded."""

import builtins
import functools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

import urllib3
from kubernetes import client as k8s
from kubernetes import config as k8s_config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

from hotfire.cluster.execution import Command, ExecResult, Untyped, execute
from hotfire.cluster.objects import Answer, EndpointAddress, Node, Pod, serving_endpoints
from hotfire.errors import ClusterError
from hotfire.profile import TargetProfile
from hotfire.waiting import until

# A Kubernetes object as the API gives and takes it.
Document: TypeAlias = dict[str, Any]
Recorder: TypeAlias = Callable[[Document], None]

FIELD_MANAGER = "hotfire"
RUN_LABEL = "hotfire.dev/run"
_PAGE = 500
_NOT_FOUND, _CONFLICT = 404, 409
_CREATED = 201
# A budget allows none just now; two budgets hold the same pod. Without a word of budgets in them,
# they are trouble of the server's own.
_NOT_EVICTED = (429, 500)
# What admission says no with: a quota or a policy; a contradiction in the object itself.
_NOT_ADMITTED = (400, 403, 422)
# Its pods' grace periods, an engine's above all, and the controllers that look after them.
_NAMESPACE_END_SECONDS = 180.0
# What must exist before the rest of a manifest can be accepted.
_FIRST = ("Namespace", "CustomResourceDefinition")


class Cluster:
    """One cluster, as one context of one kubeconfig reaches it."""

    def __init__(
        self, api: Untyped, *, api_seconds: float, recorder: Recorder | None = None
    ) -> None:
        api.call_api = _with_deadline(api.call_api, api_seconds)
        self._api = api
        self._api_seconds = api_seconds
        self._recorder = recorder
        # The library's default cache is one world-writable file per host name, shared by clusters.
        self._cache = tempfile.TemporaryDirectory(prefix="hotfire-discovery-")
        with _translated("discover the API"):
            self._dynamic = DynamicClient(api, cache_file=str(Path(self._cache.name, "api.json")))

    @classmethod
    def connect(cls, profile: TargetProfile, *, recorder: Recorder | None = None) -> Self:
        """Connect as the profile says.

        Raises:
            ClusterError: no such kubeconfig or context, or the API server does not answer.
        """
        try:
            api = k8s_config.new_client_from_config(
                config_file=str(profile.kubeconfig) if profile.kubeconfig else None,
                context=profile.context,
            )
        except (k8s_config.ConfigException, OSError) as error:
            where = profile.kubeconfig or "the default kubeconfig"
            raise ClusterError(f"cannot read {where}: {error}; set `kubeconfig`") from error
        return cls(api, api_seconds=profile.waits.api_seconds, recorder=recorder)

    def recording(self, recorder: Recorder) -> Self:
        """Return the same connection with another recorder of its writes."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _recorder=recorder)
        return twin

    # Reading

    def version(self) -> str:
        """Return the API server's version, such as ``v1.36.3``."""
        with _translated("read the version"):
            return str(self._dynamic.version["kubernetes"]["gitVersion"])

    def uid(self) -> str:
        """Return what tells this cluster from every other: the uid of its kube-system namespace."""
        found = self.get("Namespace", None, "kube-system")
        if found is None:
            raise ClusterError("this cluster has no kube-system namespace")
        return str(found["metadata"]["uid"])

    def serves(self, kind: str, api_version: str) -> bool:
        """Return whether the API server knows this kind."""
        with _translated(f"look up {api_version} {kind}"):
            try:
                self._dynamic.resources.get(kind=kind, api_version=api_version)
            except ResourceNotFoundError:
                return False
        return True

    def get(
        self, kind: str, namespace: str | None, name: str, *, api_version: str = "v1"
    ) -> Document | None:
        """Return one object, or None where there is no such object."""
        with _translated(f"get {kind} {namespace}/{name}"):
            try:
                found = self._resource(kind, api_version).get(name=name, namespace=namespace)
            except DynamicApiError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise
        return _plain(found)

    def list(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        api_version: str = "v1",
        selector: str | None = None,
        field_selector: str | None = None,
    ) -> builtins.list[Document]:
        """Return all matching objects, page by page.

        Raises:
            ClusterError: among others, the cluster does not serve this kind.
        """
        found: builtins.list[Document] = []
        token: str | None = None
        with _translated(f"list {kind} in {namespace or 'all namespaces'}"):
            resource = self._resource(kind, api_version)
            while True:
                page = _plain(
                    resource.get(
                        namespace=namespace,
                        label_selector=selector,
                        field_selector=field_selector,
                        limit=_PAGE,
                        _continue=token,
                    )
                )
                found += page.get("items") or []
                if not (token := (page.get("metadata") or {}).get("continue")):
                    return found

    def pods(
        self, namespace: str | None, selector: str | Mapping[str, str] = ""
    ) -> builtins.list[Pod]:
        """Return the pods that match, ordered by name."""
        found = self.list("Pod", namespace, selector=label_selector(selector))
        return sorted(map(Pod.parse, found), key=lambda pod: (pod.namespace, pod.name))

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Return one pod, or None."""
        found = self.get("Pod", namespace, name)
        return Pod.parse(found) if found else None

    def nodes(self, selector: str | Mapping[str, str] = "") -> builtins.list[Node]:
        """Return the nodes that match, ordered by name."""
        found = self.list("Node", selector=label_selector(selector))
        return sorted(map(Node.parse, found), key=lambda node: node.name)

    def endpoints(
        self, namespace: str, service: str | None = None
    ) -> builtins.list[EndpointAddress]:
        """Return every endpoint of one Service, or of all Services of the namespace."""
        found = self.list(
            "EndpointSlice",
            namespace,
            api_version="discovery.k8s.io/v1",
            selector=f"kubernetes.io/service-name={service}" if service else None,
        )
        return list(serving_endpoints(found))

    def events(self, namespace: str | None, *, about: str | None = None) -> builtins.list[Document]:
        """Return the namespace's events, or those about the object of this name."""
        selector = f"involvedObject.name={about}" if about else None
        return self.list("Event", namespace, field_selector=selector)

    def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None = None,
        previous: bool = False,
        timestamps: bool = False,
        tail_lines: int = 2000,
    ) -> str:
        """Return the last lines a container wrote, each after its time if that is asked for."""
        with _translated(f"read the log of {namespace}/{pod}"):
            response = k8s.CoreV1Api(self._api).read_namespaced_pod_log(
                pod,
                namespace,
                container=container,
                previous=previous,
                timestamps=timestamps,
                tail_lines=tail_lines,
                _preload_content=False,
            )
            return bytes(response.data).decode(errors="replace")

    # Writing

    def apply(
        self, documents: Iterable[Document], *, namespace: str | None = None, dry_run: bool = False
    ) -> builtins.list[Document]:
        """Apply documents on the server's side, namespaces and CRDs first; we own what they name.

        Args:
            documents: Objects; quantities must be strings.
            namespace: Where namespaced documents go that name no namespace.
            dry_run: Ask the server whether it would accept them, admission and RBAC included.
        """
        ordered = sorted(documents, key=_rank)
        return [self._apply(document, namespace, dry_run=dry_run) for document in ordered]

    def patch(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        body: Document,
        *,
        api_version: str = "v1",
    ) -> Document:
        """Merge-patch one object and return it."""
        self._record("patch", kind, namespace, name, body=body)
        with _translated(f"patch {kind} {namespace}/{name}"):
            patched = self._resource(kind, api_version).patch(
                body=body,
                name=name,
                namespace=namespace,
                content_type="application/merge-patch+json",
                field_manager=FIELD_MANAGER,
            )
        return _plain(patched)

    def delete(  # noqa: PLR0913 - the API's own parameters, all by keyword
        self,
        kind: str,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        api_version: str = "v1",
        dry_run: bool = False,
    ) -> bool:
        """Delete one object; return False where it was already gone.

        With ``uid`` only that very object is deleted: a re-created one of the same name is kept.

        Raises:
            ClusterError: among others, an object of this name lives under another uid.
        """
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions"}
        options |= {"preconditions": {"uid": uid}} if uid else {}
        options |= {"gracePeriodSeconds": grace_seconds} if grace_seconds is not None else {}
        options |= {"dryRun": ["All"]} if dry_run else {"propagationPolicy": "Background"}
        self._record("delete", kind, namespace, name, body=options)
        with _translated(f"delete {kind} {namespace}/{name}"):
            try:
                resource = self._resource(kind, api_version)
                resource.delete(name=name, namespace=namespace, body=options)
            except DynamicApiError as error:
                if error.status == _NOT_FOUND:
                    return False
                raise
        return True

    def evict(self, pod: Pod, *, dry_run: bool = False) -> Answer:
        """Ask for this very pod's eviction, as a drain does; no disruption budget is passed over.

        With ``dry_run`` the server answers as it would, and nobody has to go.

        Raises:
            ClusterError: refused for another reason than a budget, or another pod has that name.
        """
        options: Document = {"preconditions": {"uid": pod.uid}}
        options |= {"dryRun": ["All"]} if dry_run else {}
        metadata = {"name": pod.name, "namespace": pod.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        if not dry_run:
            self._record("evict", "Pod", pod.namespace, pod.name, body=options)
        with _translated(f"evict {pod.namespace}/{pod.name}"):
            try:
                k8s.CoreV1Api(self._api).create_namespaced_pod_eviction(
                    pod.name, pod.namespace, body | {"deleteOptions": options}
                )
            except k8s.ApiException as error:
                message = _message(error)
                if error.status not in _NOT_EVICTED or "disruption" not in message.lower():
                    raise
                return Answer(status=error.status, message=message)
        return Answer(status=_CREATED)

    def would_admit(self, document: Document, *, namespace: str) -> Answer:
        """Ask what the server would say to creating this, quotas and defaults included.

        Nothing is created. A refusal for lack of permission is among the answers.
        """
        kind, name = document["kind"], document["metadata"]["name"]
        with _translated(f"ask for the admission of {kind} {name}"):
            resource = self._resource(kind, document["apiVersion"])
            try:
                stored = resource.create(body=document, namespace=namespace, dry_run="All")
            except DynamicApiError as error:
                if error.status not in _NOT_ADMITTED:
                    raise
                return Answer(status=error.status, message=_message(error))
        return Answer(status=_CREATED, document=_plain(stored))

    def create_namespace(
        self, name: str, *, run_id: str, labels: Mapping[str, str] | None = None
    ) -> None:
        """Create a namespace labelled with the run, so that `heal` finds what it must remove.

        One of that name that is on its way out takes nothing new; its end is awaited first.
        """
        until(
            lambda: not self._is_ending(name),
            within_seconds=_NAMESPACE_END_SECONDS,
            what=f"the former namespace {name} gone",
        )
        metadata = {"name": name, "labels": {**(labels or {}), RUN_LABEL: run_id}}
        self.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])

    def has_namespace(self, name: str) -> bool:
        """Return whether there is such a namespace, and not on its way out."""
        return self.get("Namespace", None, name) is not None and not self._is_ending(name)

    def _is_ending(self, name: str) -> bool:
        found = self.get("Namespace", None, name)
        return bool(found and found["metadata"].get("deletionTimestamp"))

    def delete_namespace(self, name: str, *, pods_grace_seconds: int | None = None) -> bool:
        """Start deleting a namespace; return False where there is none.

        With ``pods_grace_seconds`` its pods get no more than that: nobody uses them any longer, and
        an engine's own grace period is minutes.
        """
        found = self.delete("Namespace", None, name)
        if found and pods_grace_seconds is not None:
            for pod in self.pods(name):
                self.delete("Pod", name, pod.name, uid=pod.uid, grace_seconds=pods_grace_seconds)
        return found

    def exec(
        self,
        namespace: str,
        pod: str,
        *,
        container: str,
        argv: Sequence[str],
        stdin: str | None = None,
        within_seconds: float = 30.0,
    ) -> ExecResult:
        """Run a command in a container, to its end; a nonzero ``rc`` is a result, not an error."""
        self._record("exec", "Pod", namespace, pod, body={"argv": list(argv)})
        command = Command(namespace=namespace, pod=pod, container=container, argv=argv, stdin=stdin)
        return execute(self._api.configuration, command, within_seconds=within_seconds)

    # Parts

    def _apply(self, document: Document, default: str | None, *, dry_run: bool) -> Document:
        kind, name = document["kind"], document["metadata"]["name"]
        if not dry_run:
            self._record("apply", kind, document["metadata"].get("namespace"), name, body=document)
        with _translated(f"apply {kind} {name}"):
            resource = self._resource(kind, document["apiVersion"])
            namespace = document["metadata"].get("namespace") or default
            applied = resource.server_side_apply(
                body=document,
                name=name,
                namespace=namespace if resource.namespaced else None,
                field_manager=FIELD_MANAGER,
                force_conflicts=True,
                dry_run="All" if dry_run else None,
            )
        return _plain(applied)

    def _resource(self, kind: str, api_version: str) -> Untyped:
        return self._dynamic.resources.get(kind=kind, api_version=api_version)

    def _record(
        self, verb: str, kind: str, namespace: str | None, name: str, *, body: Document
    ) -> None:
        if self._recorder:
            self._recorder(
                {"verb": verb, "kind": kind, "namespace": namespace, "name": name, "body": body}
            )


def label_selector(selector: str | Mapping[str, str]) -> str | None:
    """Return a selector as the API wants it; None selects everything."""
    if isinstance(selector, str):
        return selector or None
    return ",".join(f"{key}={value}" for key, value in selector.items()) or None


def _rank(document: Document) -> int:
    kind = document["kind"]
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _plain(found: Untyped) -> Document:
    document: Document = found.to_dict()
    return document


def _with_deadline(call: Callable[..., Untyped], seconds: float) -> Callable[..., Untyped]:
    """Give a deadline to every call that names none; the client's default is to wait for ever."""

    @functools.wraps(call)
    def called(*args: Untyped, **kwargs: Untyped) -> Untyped:
        kwargs["_request_timeout"] = kwargs.get("_request_timeout") or seconds
        return call(*args, **kwargs)

    return called


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except k8s.ApiException as error:
        conflict = "; it changed under us" if error.status == _CONFLICT else ""
        raise ClusterError(f"cannot {what}: {error.status} {_message(error)}{conflict}") from error
    except ResourceNotFoundError as error:
        raise ClusterError(f"cannot {what}: this cluster does not serve that kind") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterError(f"cannot {what}: the API server does not answer: {error}") from error


def _message(error: Untyped) -> str:
    """Return what the API server said, without the JSON around it."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
    try:
        said = json.loads(body)["message"]
    except (TypeError, ValueError, KeyError):
        said = body or error.reason
    return str(said)[:500]
