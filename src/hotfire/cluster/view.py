"""What a cluster tells when it is asked; nothing of it is changed."""

import builtins
import json
from collections.abc import Iterator, Mapping
from typing import Self

from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

from hotfire.cluster.calls import NOT_FOUND, Calls, Document, plain, translated
from hotfire.cluster.execution import Untyped
from hotfire.cluster.marks import is_marked
from hotfire.cluster.objects import EndpointAddress, Node, Pod, serving_endpoints
from hotfire.cluster.outages import Followed, watch_options
from hotfire.cluster.reviews import Reviews
from hotfire.errors import ClusterError

_PAGE = 500
# Of a container's log: two thousand lines of eight kilobytes each.
_LOG_BYTES = 16 << 20


class ClusterView(Reviews):
    """One cluster, to be looked at. What ``owner`` made carries its mark."""

    def __init__(self, calls: Calls, *, owner: str) -> None:
        self._calls = calls
        self._owner = owner

    def expecting_silence(self) -> Self:
        """Return the same connection without patience.

        For who takes the API server away on purpose, asks whether it answers, or asks again anyway.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _calls=self._calls.impatient())
        return twin

    def silent_seconds(self) -> float:
        """Return how long, in all, the API server has kept callers of this connection waiting."""
        return self._calls.patience.silence.seconds

    def version(self) -> str:
        """Return the API server's version, such as ``v1.36.3``."""
        found = self._calls.ask("read the version", lambda: self._calls.dynamic.version)
        return str(found["kubernetes"]["gitVersion"])

    def uid(self) -> str:
        """Return what tells this cluster from every other: the uid of its kube-system namespace."""
        found = self.get("Namespace", None, "kube-system")
        if found is None:
            raise ClusterError("this cluster has no kube-system namespace")
        return str(found["metadata"]["uid"])

    def owns(self, document: Document) -> bool:
        """Return whether an object carries the mark of this very target."""
        return is_marked(document, self._owner)

    def serves(self, kind: str, api_version: str, *, subresource: str = "") -> bool:
        """Return whether the API server knows this kind, with that subresource if one is named."""

        def known() -> bool:
            try:
                self._calls.resource(kind, api_version, subresource)
            except ResourceNotFoundError:
                return False
            return True

        return self._calls.ask(f"look up {api_version} {kind}", known)

    def plural(self, kind: str, api_version: str) -> str:
        """Return how paths name a kind, such as ``deployments``.

        Raises:
            ClusterError: among others, the cluster does not serve it.
        """
        return self._calls.ask(
            f"look up {api_version} {kind}",
            lambda: str(self._calls.resource(kind, api_version).name),
        )

    def get(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        *,
        api_version: str = "v1",
        subresource: str = "",
    ) -> Document | None:
        """Return one object or a subresource of it, or None where there is no such object."""

        def read() -> Document | None:
            try:
                resource = self._calls.resource(kind, api_version, subresource)
                found = resource.get(name=name, namespace=namespace)
            except DynamicApiError as error:
                if error.status == NOT_FOUND:
                    return None
                raise
            return plain(found)

        return self._calls.ask(f"get {kind} {namespace}/{name}", read)

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
        found = self.each(
            kind,
            namespace,
            api_version=api_version,
            selector=selector,
            field_selector=field_selector,
        )
        return builtins.list(found)

    def each(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        api_version: str = "v1",
        selector: str | None = None,
        field_selector: str | None = None,
    ) -> Iterator[Document]:
        """Yield all matching objects: a page of them at a time is in memory.

        Raises:
            ClusterError: among others, the cluster does not serve this kind.
        """
        token: str | None = None

        def page() -> Document:
            answer = self._calls.resource(kind, api_version).get(
                namespace=namespace,
                label_selector=selector,
                field_selector=field_selector,
                limit=_PAGE,
                _continue=token,
                # As JSON: the library would make an object of each field of each.
                serialize=False,
            )
            document: Document = json.loads(answer.data)
            return document

        while True:
            one = self._calls.ask(f"list {kind} in {namespace or 'all namespaces'}", page)
            # Taken out, so that it has gone before the next page comes.
            yield from one.pop("items", None) or []
            if not (token := (one.get("metadata") or {}).get("continue")):
                return

    def following_pods(self, namespace: str, selector: str | Mapping[str, str] = "") -> Followed:
        """Return every state of the matching pods while it is entered, however short."""
        chosen = {"namespace": namespace, "label_selector": label_selector(selector)}

        def resource() -> Untyped:
            return self._calls.resource("Pod", "v1")

        def listed() -> str:
            # A page of none: only the version counts, which no page leaves out.
            found = self._calls.ask("list Pod", lambda: plain(resource().get(limit=1, **chosen)))
            return str(found["metadata"]["resourceVersion"])

        return Followed(listed, lambda since: resource().get(**watch_options(since), **chosen))

    def pods(
        self, namespace: str | None, selector: str | Mapping[str, str] = ""
    ) -> builtins.list[Pod]:
        """Return the pods that match, ordered by name."""
        found = self.each("Pod", namespace, selector=label_selector(selector))
        return sorted(map(Pod.parse, found), key=lambda pod: (pod.namespace, pod.name))

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Return one pod, or None."""
        found = self.get("Pod", namespace, name)
        return Pod.parse(found) if found else None

    def nodes(self, selector: str | Mapping[str, str] = "") -> builtins.list[Node]:
        """Return the nodes that match, ordered by name."""
        # Of a node most is the list of its images, of which nothing is kept.
        found = self.each("Node", selector=label_selector(selector))
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
            response = self._calls.core.read_namespaced_pod_log(
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

        log = self._calls.ask(f"read the log of {namespace}/{pod}", read)
        if len(log) > _LOG_BYTES:
            raise ClusterError(
                f"the last {tail_lines} lines of {namespace}/{pod} have more than"
                f" {_LOG_BYTES >> 20} MiB: it writes lines too long to be looked at"
            )
        return log.decode(errors="replace")

    def server_metrics(self) -> str:
        """Return the metrics page of the API server, of one of them if there are several."""
        return self._calls.ask("read the API server's metrics", lambda: self._page("/metrics"))

    def page_of_pod(
        self, namespace: str, pod: str, *, port: int, path: str, within_seconds: float = 3.0
    ) -> str:
        """Return a page that a pod serves, asked by way of the API server, once."""
        proxy = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}"
        with translated(f"ask {namespace}/{pod} for {path}"):
            return self._page(proxy, _request_timeout=within_seconds)

    def _page(self, path: str, **options: Untyped) -> str:
        response = self._calls.api.call_api(
            path,
            "GET",
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            **options,
        )
        return bytes(response.data).decode(errors="replace")

    def has_namespace(self, name: str) -> bool:
        """Return whether there is such a namespace, and not on its way out."""
        found = self.get("Namespace", None, name)
        return found is not None and not found["metadata"].get("deletionTimestamp")


def label_selector(selector: str | Mapping[str, str]) -> str | None:
    """Return a selector as the API wants it; None selects everything."""
    if isinstance(selector, str):
        return selector or None
    return ",".join(f"{key}={value}" for key, value in selector.items()) or None
