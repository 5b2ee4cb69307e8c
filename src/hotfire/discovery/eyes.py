"""Reads kinds that a cluster may not serve, and that we may not see; each is told once."""

from collections.abc import Iterator
from typing import Final

from hotfire.cluster import Cluster, Document
from hotfire.errors import ClusterError, Forbidden

PAGES: Final = "pages of pods"
"""What ``unseen`` calls what pods serve."""


class Eyes:
    """What we see of a cluster. ``unseen`` tells what we do not, and why."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.unseen: dict[str, str] = {}

    def each(
        self, kind: str, namespace: str | None = None, *, api_version: str = "v1"
    ) -> Iterator[Document]:
        """Yield every object of a kind, one page in memory at a time; none where we see none."""
        what = _list_of(kind, namespace)
        try:
            if self._cluster.serves(kind, api_version):
                yield from self._cluster.each(kind, namespace, api_version=api_version)
        except Forbidden:
            self.unseen[what] = "these credentials may not list it"
        except ClusterError as error:
            self.unseen[what] = str(error)

    def each_near(self, kind: str, namespace: str, *, api_version: str) -> Iterator[Document]:
        """Yield every object of a kind; where we may not see all of them, those of a namespace."""
        yield from self.each(kind, api_version=api_version)
        if _list_of(kind, None) in self.unseen:
            yield from self.each(kind, namespace, api_version=api_version)

    def get(
        self, kind: str, namespace: str | None, name: str, *, api_version: str = "v1"
    ) -> Document | None:
        """Return one object; None where there is none, or none that we see."""
        try:
            if not self._cluster.serves(kind, api_version):
                return None
            return self._cluster.get(kind, namespace, name, api_version=api_version)
        except ClusterError as error:
            why = "these credentials may not get it" if isinstance(error, Forbidden) else str(error)
            self.unseen[f"{kind} {namespace}/{name}"] = why
            return None

    def serves(self, kind: str, api_version: str) -> bool:
        """Return whether the cluster knows a kind."""
        return self._cluster.serves(kind, api_version)

    def page_of(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        """Return a page of a pod, by way of the API server; None where it gives none."""
        try:
            return self._cluster.page_of_pod(namespace, pod, port=port, path=path)
        except Forbidden:
            self.unseen[PAGES] = "these credentials may not get pods/proxy"
        except ClusterError as error:
            self.unseen[f"http://{pod}:{port}{path}"] = str(error)
        return None


def _list_of(kind: str, namespace: str | None) -> str:
    return f"{kind} in {namespace or 'all namespaces'}"
