"""The Kubernetes client: a cluster that may be changed, with every write recorded."""

from collections.abc import Callable, Iterable, Sequence
from typing import Self, TypeAlias

from kubernetes import client as k8s
from kubernetes.dynamic.exceptions import DynamicApiError

from hotfire.cluster.calls import (
    CONFLICT,
    CREATED,
    NOT_FOUND,
    Calls,
    Document,
    message,
    plain,
    translated,
)
from hotfire.cluster.execution import Command, ExecResult, Untyped
from hotfire.cluster.kubeconfig import configuration
from hotfire.cluster.marks import FIELD_MANAGER, marked, not_ours
from hotfire.cluster.objects import Answer, Pod
from hotfire.cluster.view import ClusterView
from hotfire.errors import ProfileError
from hotfire.patience import Patience, Tell
from hotfire.profile import TargetProfile

Recorder: TypeAlias = Callable[[Document], None]

# A budget allows none just now; two budgets hold the same pod. Without a word of budgets in them,
# they are trouble of the server's own.
_NOT_EVICTED = (429, 500)
# What must exist before the rest of a manifest can be accepted.
_FIRST = ("Namespace", "CustomResourceDefinition")


class Cluster(ClusterView):
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
        calls = Calls(api, api_seconds=api_seconds, patience=patience or Patience())
        super().__init__(calls, owner=owner)
        self._recorder = recorder

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

    def apply(
        self, documents: Iterable[Document], *, namespace: str | None = None, dry_run: bool = False
    ) -> list[Document]:
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
        with translated(f"replace {kind} {namespace}/{metadata['name']}"):
            resource = self._calls.resource(kind, document["apiVersion"])
            replaced = resource.replace(
                body=marked(document, self._owner), namespace=namespace, field_manager=FIELD_MANAGER
            )
        return plain(replaced)

    def patch(  # noqa: PLR0913 - the API's own parameters
        self,
        kind: str,
        namespace: str | None,
        name: str,
        body: Document,
        *,
        api_version: str = "v1",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Document:
        """Merge-patch one object, or a subresource of it, with fixed values and return it.

        With a uid in its metadata only that very object is patched. With ``dry_run`` the server
        says what would come of it.

        Raises:
            Conflict: an object of this name lives under another uid.
        """
        if not dry_run:
            self._record("patch", kind, namespace, name, body=body)
        options = {"dry_run": "All"} if dry_run else {}

        def patched() -> Document:
            return plain(
                self._calls.resource(kind, api_version, subresource).patch(
                    body=body,
                    name=name,
                    namespace=namespace,
                    content_type="application/merge-patch+json",
                    field_manager=FIELD_MANAGER,
                    **options,
                )
            )

        return self._calls.ask(f"patch {kind} {namespace}/{name}", patched)

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
                resource = self._calls.resource(kind, api_version)
                resource.delete(name=name, namespace=namespace, body=options)
            except DynamicApiError as error:
                if error.status == NOT_FOUND or (again and uid and error.status == CONFLICT):
                    # A repeated deletion that does not find its object was carried out before.
                    return again
                raise
            return True

        return self._calls.attempt(f"delete {kind} {namespace}/{name}", attempt)

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
        with translated(f"evict {pod.namespace}/{pod.name}"):
            try:
                self._calls.core.create_namespaced_pod_eviction(
                    pod.name, pod.namespace, body | {"deleteOptions": options}
                )
            except k8s.ApiException as error:
                said = message(error)
                if error.status not in _NOT_EVICTED or "disruption" not in said.lower():
                    raise
                return Answer(status=error.status, message=said)
        return Answer(status=CREATED)

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
        return self._calls.execute(command, within_seconds=within_seconds, repeatable=repeatable)

    # Parts

    def _apply(self, document: Document, default: str | None, *, dry_run: bool) -> Document:
        kind, name = document["kind"], document["metadata"]["name"]
        namespace = document["metadata"].get("namespace") or default
        if not dry_run:
            self._record("apply", kind, document["metadata"].get("namespace"), name, body=document)
        version = document["apiVersion"]
        resource = self._calls.ask(f"look up {kind}", lambda: self._calls.resource(kind, version))
        place = namespace if resource.namespaced else None
        found = self.get(kind, place, name, api_version=version)
        if found is not None and not self.owns(found):
            raise ProfileError(not_ours(kind, f"{place}/{name}" if place else name))
        if found is None and place is None and not dry_run:
            # Nobody may be overtaken here: another's would be of the same name, everywhere.
            return self._create(document, None)

        def applied() -> Document:
            return plain(
                resource.server_side_apply(
                    body=marked(document, self._owner),
                    name=name,
                    namespace=place,
                    field_manager=FIELD_MANAGER,
                    force_conflicts=found is not None,
                    dry_run="All" if dry_run else None,
                )
            )

        return self._calls.ask(f"apply {kind} {name}", applied)

    def _create(self, document: Document, default: str | None) -> Document:
        kind, name = document["kind"], document["metadata"]["name"]
        with translated(f"create {kind} {name}"):
            resource = self._calls.resource(kind, document["apiVersion"])
            namespace = document["metadata"].get("namespace") or default
            created = resource.create(
                body=marked(document, self._owner),
                namespace=namespace if resource.namespaced else None,
                field_manager=FIELD_MANAGER,
            )
        return plain(created)

    def _record(
        self, verb: str, kind: str, namespace: str | None, name: str, *, body: Document
    ) -> None:
        if self._recorder:
            self._recorder(
                {"verb": verb, "kind": kind, "namespace": namespace, "name": name, "body": body}
            )


def _rank(document: Document) -> int:
    kind = document["kind"]
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)
