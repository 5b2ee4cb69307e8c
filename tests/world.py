"""The standing lab with a scripted stack, as defects see it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fixtures.stack import Stack
from hotfire.cluster import Cluster, Document
from hotfire.lab.machine.machines import Rack
from hotfire.profile import TargetProfile
from hotfire.waiting import until

_SET = """
import sys, urllib.request
for address in sys.argv[2:]:
    request = urllib.request.Request(f"http://{address}:8000/admin/config", sys.argv[1].encode())
    print(urllib.request.urlopen(request, timeout=5).status)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Handles to everything a defect may need."""

    cluster: Cluster
    profile: TargetProfile
    stack: Stack
    rack: Rack

    def script(self, *, canary: bool = True, **changes: object) -> None:
        """Change what every scripted engine does, the canary's too unless told otherwise."""
        pods = self.cluster.pods(self.profile.namespace)
        asker = next(pod for pod in pods if pod.labels.get("app") == "canary")
        meant = [pod.ip for pod in pods if pod.ready and (canary or pod is not asker)]
        argv = ["python3", "-c", _SET, json.dumps(changes), *meant]
        done = self.cluster.exec(self.profile.namespace, asker.name, container="engine", argv=argv)
        assert done.rc == 0, done.stderr

    def set_engine_containers(self, containers: list[dict[str, Any]]) -> None:
        """Replace the engines' containers and wait for the roll-out."""
        self.patch_engine_pods({"containers": containers})

    def patch_engine_pods(self, spec: Document) -> None:
        """Merge-patch the spec of the engines' pods and replace them all; nobody is served then."""
        namespace, workload = self.profile.namespace, self.stack.engine_workload()
        at_once = {"type": "Recreate", "rollingUpdate": None}
        former = {pod.uid for pod in self.stack.engines()}
        self._patch_engines({"strategy": at_once, "template": {"spec": spec}})
        until(
            lambda: not former & {pod.uid for pod in self.stack.engines()},
            within_seconds=30,
            what="the former engine pods on their way out",
        )
        for pod in self.cluster.pods(namespace, self.profile.engine.selector):
            if pod.uid in former:
                self.cluster.delete("Pod", namespace, pod.name, uid=pod.uid, grace_seconds=1)
        self.stack.wait_ready()
        self._patch_engines({"strategy": workload["spec"]["strategy"]})

    def _patch_engines(self, spec: Document) -> None:
        name, namespace = self.stack.engine_workload()["metadata"]["name"], self.profile.namespace
        self.cluster.patch("Deployment", namespace, name, {"spec": spec}, api_version="apps/v1")

    @contextmanager
    def one_more_engine(self, change: Callable[[Document], object]) -> Iterator[None]:
        """Run an engine beside the sound ones, whose specification was changed before.

        It serves like the others, comes last by its name, and no controller makes it.
        """
        template = self.stack.engine_workload()["spec"]["template"]
        change(template["spec"])
        namespace, name = self.profile.namespace, f"{self.profile.engine.container}-zz-by-hand"
        metadata = {"name": name, "labels": template["metadata"]["labels"]}
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        self.cluster.apply([document | {"spec": template["spec"]}], namespace=namespace)
        try:
            until(
                lambda: (pod := self.cluster.pod(namespace, name)) and pod.ready,
                within_seconds=60,
                what=f"{name} Ready",
            )
            yield
        finally:
            self.cluster.delete("Pod", namespace, name, grace_seconds=1)
            until(
                lambda: self.cluster.pod(namespace, name) is None,
                within_seconds=30,
                what=f"{name} gone",
            )
