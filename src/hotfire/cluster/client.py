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
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

from hotfire.cluster.execution import Command, ExecResult, Untyped, execute
from hotfire.cluster.kubeconfig import configuration
from hotfire.cluster.objects import EndpointAddress, Node, Pod, serving_endpoints
from hotfire.errors import ClusterError, Conflict, Forbidden, ProfileError
from hotfire.profile import TargetProfile
from hotfire.waiting import until

# A Kubernetes object as the API gives and takes it.
Document: TypeAlias = dict[str, Any]
Recorder: TypeAlias = Callable[[Document], None]

FIELD_MANAGER = "hotfire"
RUN_LABEL = "hotfire.dev/run"
OWNER_LABEL = "hotfire.dev/owner"
"""On everything we make: the system namespace of the target it was made for."""
_PAGE = 500
_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
# Its pods' grace periods, an engine's above all, and the controllers that look after them.
_NAMESPACE_END_SECONDS = 180.0
# What must exist before the rest of a manifest can be accepted.
_FIRST = ("Namespace", "CustomResourceDefinition")


class Cluster:
    """One cluster, as one context of one kubeconfig reaches it."""

    def __init__(
        self,
        api: Untyped,
        *,
        api_seconds: float,
        recorder: Recorder | None = None,
        owner: str = "hotfire-system",
    ) -> None:
        """Use a client; what it makes is marked as ``owner``'s, and only that is ever changed."""
        api.call_api = _with_deadline(api.call_api, api_seconds)
        self._api = api
        self._api_seconds = api_seconds
        self._recorder = recorder
        self._owner = owner
        # The library's default cache is one world-writable file per host name, shared by clusters.
        self._cache = tempfile.TemporaryDirectory(prefix="hotfire-discovery-")
        with _translated("discover the API"):
            self._dynamic = DynamicClient(api, cache_file=str(Path(self._cache.name, "api.json")))

    @classmethod
    def connect(cls, profile: TargetProfile, *, recorder: Recorder | None = None) -> Self:
        """Connect as the profile says.

        Raises:
            ClusterError: no such kubeconfig or context, no service account of a pod instead, or the
                API server does not answer.
        """
        return cls(
            k8s.ApiClient(configuration=configuration(profile)),
            api_seconds=profile.waits.api_seconds,
            recorder=recorder,
            owner=profile.system_namespace,
        )

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

    def owns(self, document: Document) -> bool:
        """Return whether an object carries the mark of this very target."""
        labels = document["metadata"].get("labels") or {}
        return bool(labels.get(OWNER_LABEL) == self._owner)

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
        """Apply documents on the server's side, namespaces and CRDs first, marked as ours.

        Args:
            documents: Objects; quantities must be strings.
            namespace: Where namespaced documents go that name no namespace.
            dry_run: Ask the server whether it would accept them, admission and RBAC included.

        Raises:
            ProfileError: an object of that name is there and does not carry our mark; it and
                whatever comes after it are left as they are.
        """
        ordered = sorted(documents, key=_rank)
        return [self._apply(document, namespace, dry_run=dry_run) for document in ordered]

    def create(self, document: Document, *, namespace: str | None = None) -> Document:
        """Create one object that must be new, marked as ours, and return it.

        Raises:
            Conflict: one of that name is there already; it is left as it is.
        """
        kind, name = document["kind"], document["metadata"]["name"]
        self._record("create", kind, document["metadata"].get("namespace"), name, body=document)
        return self._create(document, namespace)

    def replace(self, document: Document) -> Document:
        """Replace one object by what was read of it and then changed; return it as it is then.

        Raises:
            Conflict: somebody changed it since, or it is another one under the same name.
        """
        kind, metadata = document["kind"], document["metadata"]
        if not metadata.get("resourceVersion"):
            raise ValueError(f"{kind} {metadata['name']} without the version that was read")
        namespace = metadata.get("namespace")
        self._record("replace", kind, namespace, metadata["name"], body=document)
        with _translated(f"replace {kind} {namespace}/{metadata['name']}"):
            resource = self._resource(kind, document["apiVersion"])
            replaced = resource.replace(
                body=self._marked(document), namespace=namespace, field_manager=FIELD_MANAGER
            )
        return _plain(replaced)

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
        version: str | None = None,
        grace_seconds: int | None = None,
        api_version: str = "v1",
        dry_run: bool = False,
    ) -> bool:
        """Delete one object; return False where it was already gone.

        With ``uid`` only that very object is deleted: a re-created one of the same name is kept.
        With ``version`` it must also be as it was read.

        Raises:
            Conflict: an object of this name lives under another uid, or was changed.
        """
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions"}
        wanted = {"uid": uid, "resourceVersion": version}
        if preconditions := {name: value for name, value in wanted.items() if value}:
            options |= {"preconditions": preconditions}
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

    def create_namespace(
        self,
        name: str,
        *,
        run_id: str,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Document:
        """Create a namespace that is not there yet, labelled with the run, and return it.

        One of that name that is on its way out takes nothing new; its end is awaited first.

        Raises:
            ProfileError: there is one already. Nothing of it is touched: see ``Estate`` for those
                that an earlier run made.
        """
        until(
            lambda: not self._is_ending(name),
            within_seconds=_NAMESPACE_END_SECONDS,
            what=f"the former namespace {name} gone",
        )
        metadata = {
            "name": name,
            "labels": {**(labels or {}), RUN_LABEL: run_id},
            "annotations": dict(annotations or {}),
        }
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        try:
            return self.create(document)
        except Conflict as error:
            raise ProfileError(not_ours("namespace", name)) from error

    def has_namespace(self, name: str) -> bool:
        """Return whether there is such a namespace, and not on its way out."""
        return self.get("Namespace", None, name) is not None and not self._is_ending(name)

    def _is_ending(self, name: str) -> bool:
        found = self.get("Namespace", None, name)
        return bool(found and found["metadata"].get("deletionTimestamp"))

    def delete_namespace(
        self, name: str, *, uid: str | None = None, pods_grace_seconds: int | None = None
    ) -> bool:
        """Start deleting the namespace of that uid; return False where it is not there any more.

        Whoever made a namespace knows its uid. Without one nothing is deleted, whatever its name.
        With ``pods_grace_seconds`` its pods get no more than that: nobody uses them any longer, and
        an engine's own grace period is minutes.
        """
        found = self.get("Namespace", None, name)
        if found is None or not uid or found["metadata"]["uid"] != uid:
            return False
        deleted = self.delete("Namespace", None, name, uid=uid)
        if deleted and pods_grace_seconds is not None:
            for pod in self.pods(name):
                self.delete("Pod", name, pod.name, uid=pod.uid, grace_seconds=pods_grace_seconds)
        return deleted

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
        namespace = document["metadata"].get("namespace") or default
        if not dry_run:
            self._record("apply", kind, document["metadata"].get("namespace"), name, body=document)
        version = document["apiVersion"]
        with _translated(f"apply {kind} {name}"):
            resource = self._resource(kind, version)
        place = namespace if resource.namespaced else None
        found = self.get(kind, place, name, api_version=version)
        if found is not None and not self.owns(found):
            raise ProfileError(not_ours(kind, f"{place}/{name}" if place else name))
        if found is None and place is None and not dry_run:
            # Nobody may be overtaken here: another's would be of the same name, everywhere.
            return self._create(document, None)
        with _translated(f"apply {kind} {name}"):
            applied = resource.server_side_apply(
                body=self._marked(document),
                name=name,
                namespace=place,
                field_manager=FIELD_MANAGER,
                force_conflicts=found is not None,
                dry_run="All" if dry_run else None,
            )
        return _plain(applied)

    def _create(self, document: Document, default: str | None) -> Document:
        kind, name = document["kind"], document["metadata"]["name"]
        with _translated(f"create {kind} {name}"):
            resource = self._resource(kind, document["apiVersion"])
            namespace = document["metadata"].get("namespace") or default
            created = resource.create(
                body=self._marked(document),
                namespace=namespace if resource.namespaced else None,
                field_manager=FIELD_MANAGER,
            )
        return _plain(created)

    def _marked(self, document: Document) -> Document:
        metadata = document["metadata"]
        labels = {**(metadata.get("labels") or {}), OWNER_LABEL: self._owner}
        return {**document, "metadata": {**metadata, "labels": labels}}

    def _resource(self, kind: str, api_version: str) -> Untyped:
        return self._dynamic.resources.get(kind=kind, api_version=api_version)

    def _record(
        self, verb: str, kind: str, namespace: str | None, name: str, *, body: Document
    ) -> None:
        if self._recorder:
            self._recorder(
                {"verb": verb, "kind": kind, "namespace": namespace, "name": name, "body": body}
            )


def not_ours(field: str, name: str) -> str:
    """Return the refusal of an object that was there before us."""
    way_out = ", or set stack.deploy: false" if field in {"namespace", "PriorityClass"} else ""
    return f"{field}: {name} exists and is not hotfire's; name another{way_out}"


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
        refusal = f"cannot {what}: {error.status} {_message(error)}"
        if error.status == _CONFLICT:
            raise Conflict(refusal) from error
        if error.status == _FORBIDDEN:
            raise Forbidden(refusal) from error
        raise ClusterError(refusal) from error
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
