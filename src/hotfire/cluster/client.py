"""The Kubernetes client: every call with a deadline, every write recorded."""

import builtins
import functools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import urllib3
from kubernetes import client as k8s
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

from hotfire.cluster.execution import Command, ExecResult, Untyped, execute
from hotfire.cluster.kubeconfig import configuration
from hotfire.cluster.objects import Answer, EndpointAddress, Node, Pod, serving_endpoints
from hotfire.cluster.outages import DOOR, Followed, passing, watch_options
from hotfire.errors import ClusterError, Conflict, Forbidden, ProfileError
from hotfire.patience import Patience, Tell
from hotfire.profile import TargetProfile
from hotfire.waiting import until

# A Kubernetes object as the API gives and takes it.
Document: TypeAlias = dict[str, Any]
Recorder: TypeAlias = Callable[[Document], None]
T = TypeVar("T")

FIELD_MANAGER = "hotfire"
RUN_LABEL = "hotfire.dev/run"
OWNER_LABEL = "hotfire.dev/owner"
"""On everything we make: the system namespace of the target it was made for."""
_PAGE = 500
_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
_CREATED = 201
# A budget allows none just now; two budgets hold the same pod. Without a word of budgets in them,
# they are trouble of the server's own.
_NOT_EVICTED = (429, 500)
# What admission says no with: a quota or a policy; a contradiction in the object itself.
_NOT_ADMITTED = (400, 403, 422)
# Its pods' grace periods, an engine's above all, and the controllers that look after them.
_NAMESPACE_END_SECONDS = 180.0
# Of a container's log: two thousand lines of eight kilobytes each.
_LOG_BYTES = 16 << 20
# What must exist before the rest of a manifest can be accepted.
_FIRST = ("Namespace", "CustomResourceDefinition")


class Cluster:
    """One cluster, as one context of one kubeconfig reaches it.

    What may be repeated without harm is, while the API server does not answer, for as long as the
    patience lasts: reading, applying, patching, deleting, and commands that change nothing.
    """

    def __init__(
        self,
        api: Untyped,
        *,
        api_seconds: float,
        recorder: Recorder | None = None,
        owner: str = "hotfire-system",
        patience: Patience | None = None,
    ) -> None:
        """Use a client; what it makes is marked as ``owner``'s, and only that is ever changed."""
        api.call_api = _with_deadline(api.call_api, api_seconds)
        # The transport would repeat some calls by itself, and obey any Retry-After.
        api.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0)
        self._api = api
        self._api_seconds = api_seconds
        self._recorder = recorder
        self._owner = owner
        self._patience = patience or Patience()
        # The library's default cache is one world-writable file per host name, shared by clusters.
        self._cache = tempfile.TemporaryDirectory(prefix="hotfire-discovery-")
        cache = str(Path(self._cache.name, "api.json"))
        self._dynamic = self._ask("discover the API", lambda: DynamicClient(api, cache_file=cache))

    @classmethod
    def connect(
        cls,
        profile: TargetProfile,
        *,
        recorder: Recorder | None = None,
        tell: Tell | None = None,
    ) -> Self:
        """Connect as the profile says; ``tell`` hears of it while the API server is silent.

        Raises:
            ClusterError: no such kubeconfig or context, no service account of a pod instead, or the
                API server does not answer.
        """
        waits = profile.waits
        return cls(
            k8s.ApiClient(configuration=configuration(profile)),
            api_seconds=waits.api_seconds,
            recorder=recorder,
            owner=profile.system_namespace,
            patience=Patience(outage_seconds=waits.api_outage_seconds, tell=tell),
        )

    def recording(self, recorder: Recorder) -> Self:
        """Return the same connection with another recorder of its writes."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _recorder=recorder)
        return twin

    def expecting_silence(self) -> Self:
        """Return the same connection without patience.

        For who takes the API server away on purpose, asks whether it answers, or asks again anyway.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _patience=self._patience.shortened())
        return twin

    def silent_seconds(self) -> float:
        """Return how long, in all, the API server has kept callers of this connection waiting."""
        return self._patience.silence.seconds

    # Reading

    def version(self) -> str:
        """Return the API server's version, such as ``v1.36.3``."""
        found = self._ask("read the version", lambda: self._dynamic.version)
        return str(found["kubernetes"]["gitVersion"])

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

        def known() -> bool:
            try:
                self._resource(kind, api_version)
            except ResourceNotFoundError:
                return False
            return True

        return self._ask(f"look up {api_version} {kind}", known)

    def get(
        self, kind: str, namespace: str | None, name: str, *, api_version: str = "v1"
    ) -> Document | None:
        """Return one object, or None where there is no such object."""

        def read() -> Document | None:
            try:
                found = self._resource(kind, api_version).get(name=name, namespace=namespace)
            except DynamicApiError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise
            return _plain(found)

        return self._ask(f"get {kind} {namespace}/{name}", read)

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

        def page() -> Document:
            return _plain(
                self._resource(kind, api_version).get(
                    namespace=namespace,
                    label_selector=selector,
                    field_selector=field_selector,
                    limit=_PAGE,
                    _continue=token,
                )
            )

        while True:
            one = self._ask(f"list {kind} in {namespace or 'all namespaces'}", page)
            found += one.get("items") or []
            if not (token := (one.get("metadata") or {}).get("continue")):
                return found

    def following_pods(self, namespace: str, selector: str | Mapping[str, str] = "") -> Followed:
        """Return every state of the matching pods while it is entered, however short."""
        chosen = {"namespace": namespace, "label_selector": label_selector(selector)}

        def resource() -> Untyped:
            return self._resource("Pod", "v1")

        def listed() -> str:
            # A page of none: only the version counts, which no page leaves out.
            found = self._ask("list Pod", lambda: _plain(resource().get(limit=1, **chosen)))
            return str(found["metadata"]["resourceVersion"])

        return Followed(listed, lambda since: resource().get(**watch_options(since), **chosen))

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
        """Return the last lines a container wrote, each after its time if that is asked for.

        Raises:
            ClusterError: among others, they are too long to be looked at.
        """

        def read() -> bytes:
            response = k8s.CoreV1Api(self._api).read_namespaced_pod_log(
                pod,
                namespace,
                container=container,
                previous=previous,
                timestamps=timestamps,
                tail_lines=tail_lines,
                # One more than we take: a log that is cut off there looks like a whole one.
                limit_bytes=_LOG_BYTES + 1,
                _preload_content=False,
            )
            return bytes(response.data)

        log = self._ask(f"read the log of {namespace}/{pod}", read)
        if len(log) > _LOG_BYTES:
            raise ClusterError(
                f"the last {tail_lines} lines of {namespace}/{pod} have more than"
                f" {_LOG_BYTES >> 20} MiB: it writes lines too long to be looked at"
            )
        return log.decode(errors="replace")

    def server_metrics(self) -> str:
        """Return the metrics page of the API server, of one of them if there are several."""

        def read() -> str:
            response = self._api.call_api(
                "/metrics",
                "GET",
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
            )
            return bytes(response.data).decode(errors="replace")

        return self._ask("read the API server's metrics", read)

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
        dry_run: bool = False,
    ) -> Document:
        """Merge-patch one object with fixed values and return it.

        With a uid in its metadata only that very object is patched. With ``dry_run`` the server
        says what would come of it.

        Raises:
            Conflict: an object of this name lives under another uid.
        """
        if not dry_run:
            self._record("patch", kind, namespace, name, body=body)
        options = {"dry_run": "All"} if dry_run else {}

        def patched() -> Document:
            return _plain(
                self._resource(kind, api_version).patch(
                    body=body,
                    name=name,
                    namespace=namespace,
                    content_type="application/merge-patch+json",
                    field_manager=FIELD_MANAGER,
                    **options,
                )
            )

        return self._ask(f"patch {kind} {namespace}/{name}", patched)

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
        With ``version`` it must also be as it was read. Without a uid it is the object that is
        there now, also if the deletion has to be repeated.

        Raises:
            Conflict: an object of this name lives under another uid, or was changed.
        """
        if uid is None and not dry_run:
            found = self.get(kind, namespace, name, api_version=api_version)
            if found is None:
                return False
            uid = str(found["metadata"]["uid"])
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions"}
        wanted = {"uid": uid, "resourceVersion": version}
        if preconditions := {name: value for name, value in wanted.items() if value}:
            options |= {"preconditions": preconditions}
        options |= {"gracePeriodSeconds": grace_seconds} if grace_seconds is not None else {}
        options |= {"dryRun": ["All"]} if dry_run else {"propagationPolicy": "Background"}
        self._record("delete", kind, namespace, name, body=options)

        def attempt(again: bool) -> bool:
            try:
                resource = self._resource(kind, api_version)
                resource.delete(name=name, namespace=namespace, body=options)
            except DynamicApiError as error:
                if error.status == _NOT_FOUND or (again and uid and error.status == _CONFLICT):
                    # A repeated deletion that does not find its object was carried out before.
                    return again
                raise
            return True

        with _translated(f"delete {kind} {namespace}/{name}"):
            return self._patience.retrying(attempt, door=DOOR, passing=passing)

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

    def review(self, document: Document) -> Document:
        """Return the server's answer to a review, such as of an account's access; none is kept."""
        kind, version = document["kind"], document["apiVersion"]

        def answered() -> Document:
            return _plain(self._resource(kind, version).create(body=document))

        return self._ask(f"ask for a {kind}", answered)

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

    def exec(  # noqa: PLR0913 - what a command needs, all but two by name
        self,
        namespace: str,
        pod: str,
        *,
        container: str,
        argv: Sequence[str],
        stdin: str | None = None,
        within_seconds: float = 30.0,
        repeatable: bool = False,
    ) -> ExecResult:
        """Run a command in a container, to its end; a nonzero ``rc`` is a result, not an error.

        A ``repeatable`` command changes nothing, or the same however often it runs; it is tried
        again while the way to it does not open.
        """
        self._record("exec", "Pod", namespace, pod, body={"argv": list(argv)})
        command = Command(namespace=namespace, pod=pod, container=container, argv=argv, stdin=stdin)
        patience = self._patience if repeatable else self._patience.shortened()
        return patience.retrying(
            lambda _again: execute(self._api.configuration, command, within_seconds=within_seconds),
            door=f"the way to {namespace}/{pod}",
            passing=passing,
            prompt=False,
        )

    # Parts

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        """Make a call that may be repeated without harm."""
        with _translated(what):
            return self._patience.retrying(lambda _again: call(), door=DOOR, passing=passing)

    def _apply(self, document: Document, default: str | None, *, dry_run: bool) -> Document:
        kind, name = document["kind"], document["metadata"]["name"]
        namespace = document["metadata"].get("namespace") or default
        if not dry_run:
            self._record("apply", kind, document["metadata"].get("namespace"), name, body=document)
        version = document["apiVersion"]
        resource = self._ask(f"look up {kind}", lambda: self._resource(kind, version))
        place = namespace if resource.namespaced else None
        found = self.get(kind, place, name, api_version=version)
        if found is not None and not self.owns(found):
            raise ProfileError(not_ours(kind, f"{place}/{name}" if place else name))
        if found is None and place is None and not dry_run:
            # Nobody may be overtaken here: another's would be of the same name, everywhere.
            return self._create(document, None)

        def applied() -> Document:
            return _plain(
                resource.server_side_apply(
                    body=self._marked(document),
                    name=name,
                    namespace=place,
                    field_manager=FIELD_MANAGER,
                    force_conflicts=found is not None,
                    dry_run="All" if dry_run else None,
                )
            )

        return self._ask(f"apply {kind} {name}", applied)

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
