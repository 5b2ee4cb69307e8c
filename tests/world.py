"""The standing lab with a scripted stack, as defects see it."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml

from fixtures.own_backends import SET_SCRIPT
from fixtures.stack import Stack
from hotfire import Endpoint, Reply
from hotfire.cluster import Cluster, Document
from hotfire.lab.machine.machines import Rack
from hotfire.profile import TargetProfile
from hotfire.waiting import until

# Envoy Gateway's port for its proxies: what is programmed goes through it.
_XDS = 18000
_DEAF = f"""
table inet hotfire_deaf {{
  chain forward {{
    type filter hook forward priority filter - 5;
    tcp dport {_XDS} drop
    tcp sport {_XDS} drop
  }}
}}
"""
# Nothing to delete is no error this way, in every version of nftables.
_HEARING = "add table inet hotfire_deaf\ndelete table inet hotfire_deaf\n"
_MARK = "x-followed"
_ROUTE_API = "gateway.networking.k8s.io/v1"
_POLICY_API, _POLICY = "gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Handles to everything a defect may need."""

    cluster: Cluster
    profile: TargetProfile
    stack: Stack
    rack: Rack
    target: Path
    """The target file by which checks are run on it."""

    @contextmanager
    def target_says(self, *, claims: Iterable[str] = (), **fields: object) -> Iterator[None]:
        """Let the target file say something else for a while, field by field below the first.

        ``claims`` are added to those that it says at that moment.
        """
        former = self.target.read_text()
        document = yaml.safe_load(former)
        document["claims"] = sorted({*(document.get("claims") or ()), *claims})
        for name, value in fields.items():
            former_value = document.get(name) or {}
            document[name] = former_value | value if isinstance(value, dict) else value
        self.target.write_text(yaml.safe_dump(document))
        try:
            yield
        finally:
            self.target.write_text(former)

    def offered(self, name: str) -> int:
        """Return how many accelerators a node offers by number."""
        [node] = [node for node in self.cluster.nodes() if node.name == name]
        return int(node.allocatable.get(self.profile.accelerator.resource, "0"))

    def label(self, node: str, labels: dict[str, str]) -> None:
        """Change labels of a node."""
        self.cluster.patch("Node", None, node, {"metadata": {"labels": labels}})

    @contextmanager
    def daemon_set_runs(self, namespace: str, name: str, command: list[str]) -> Iterator[None]:
        """Let a DaemonSet's only container run another program on every node for a while."""
        self._set_command(namespace, name, command)
        try:
            yield
        finally:
            self._set_command(namespace, name, None)

    def _set_command(self, namespace: str, name: str, command: list[str] | None) -> None:
        found = self.cluster.get("DaemonSet", namespace, name, api_version="apps/v1") or {}
        [container] = found["spec"]["template"]["spec"]["containers"]
        at_once = {"rollingUpdate": {"maxUnavailable": "100%"}}
        spec = {"template": {"spec": {"containers": [{**container, "command": command}]}}}
        former = {pod.uid for pod in self.cluster.pods(namespace, {"app": name})}
        body = {"spec": {"updateStrategy": at_once, **spec}}
        self.cluster.patch("DaemonSet", namespace, name, body, api_version="apps/v1")

        def replaced() -> bool:
            pods = self.cluster.pods(namespace, {"app": name})
            return len(pods) == len(former) and all(
                pod.serving and pod.uid not in former for pod in pods
            )

        until(replaced, within_seconds=60, what=f"every pod of {name} replaced")
        usual = {"spec": {"updateStrategy": found["spec"]["updateStrategy"]}}
        self.cluster.patch("DaemonSet", namespace, name, usual, api_version="apps/v1")

    @contextmanager
    def admission_changes(self, group: str, resource: str, patches: str) -> Iterator[None]:
        """Let the API server change what is written of a resource, by JSON patches of a CEL list.

        It takes a moment until it does; whoever needs to know looks at what is stored.
        """
        api, name = "admissionregistration.k8s.io/v1", f"{resource}.hotfire.test"
        rule = {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"],
            "resources": [resource],
        }
        policy = {
            "matchConstraints": {"resourceRules": [rule]},
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patches}}],
        }
        binding = {"policyName": name}
        kinds = {"MutatingAdmissionPolicy": policy, "MutatingAdmissionPolicyBinding": binding}
        try:
            for kind, spec in kinds.items():
                metadata = {"name": name}
                self.cluster.create(
                    {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}
                )
            yield
        finally:
            for kind in kinds:
                self.cluster.delete(kind, None, name, api_version=api)

    def script(self, *, canary: bool = True, **changes: object) -> None:
        """Change what every scripted engine does, the canary's too unless told otherwise."""
        pods = self.cluster.pods(self.profile.namespace)
        asker = next(pod for pod in pods if pod.labels.get("app") == "canary")
        meant = [f"{pod.ip}:8000" for pod in pods if pod.ready and (canary or pod is not asker)]
        argv = ["python3", "-c", SET_SCRIPT, json.dumps(changes), *meant]
        done = self.cluster.exec(self.profile.namespace, asker.name, container="engine", argv=argv)
        assert done.rc == 0, done.stderr

    def endpoint(self) -> Endpoint:
        """Return a client of the gateway."""
        return Endpoint.of(self.profile)

    def wait_answers(
        self, right: Callable[[Endpoint], bool], *, what: str, within_seconds: float = 30
    ) -> None:
        """Wait until a question to the gateway is answered as it should twelve times in a row."""
        with self.endpoint() as endpoint:
            until(
                lambda: all(right(endpoint) for _ in range(12)),
                within_seconds=within_seconds,
                what=what,
            )

    @contextmanager
    def more_rules(self, *rules: Document, asked: Callable[[Endpoint], Reply]) -> Iterator[None]:
        """Have another route beside the engines' own, at the same gateway.

        ``asked`` sends a request that is to go by these rules, from the block's start to its end.
        """
        namespace, parents = self.profile.namespace, self.stack.way_in()["spec"]["parentRefs"]
        header = {"set": [{"name": _MARK, "value": "more-rules"}]}
        marker = {"type": "ResponseHeaderModifier", "responseHeaderModifier": header}
        spec = {"parentRefs": parents, "rules": [{**rule, "filters": [marker]} for rule in rules]}
        route = {"apiVersion": _ROUTE_API, "kind": "HTTPRoute", "metadata": {"name": "more-rules"}}
        self.cluster.apply([route | {"spec": spec}], namespace=namespace)
        try:
            self.wait_answers(
                lambda endpoint: asked(endpoint).headers.get(_MARK) == "more-rules",
                what="the gateway following more rules",
            )
            yield
        finally:
            self.cluster.delete("HTTPRoute", namespace, "more-rules", api_version=_ROUTE_API)
            self.wait_answers(
                lambda endpoint: _MARK not in asked(endpoint).headers,
                what="the gateway without those rules",
            )

    @contextmanager
    def gateway_program(self, *, on_request: str = "", on_response: str = "") -> Iterator[None]:
        """Let the gateway run Lua on what passes it; ``handle`` is the request or the answer."""
        namespace, route = self.profile.namespace, self.stack.way_in()["metadata"]["name"]
        target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route}
        mark = f'handle:headers():add("{_MARK}", "program")'
        program = f"""
            function envoy_on_request(handle) {on_request} end
            function envoy_on_response(handle) {mark} {on_response} end
        """
        spec = {"targetRefs": [target], "lua": [{"type": "Inline", "inline": program}]}
        policy = {"apiVersion": _POLICY_API, "kind": _POLICY, "metadata": {"name": "program"}}
        self.cluster.apply([policy | {"spec": spec}], namespace=namespace)
        try:
            self._wait_program(runs=True)
            yield
        finally:
            self.cluster.delete(_POLICY, namespace, "program", api_version=_POLICY_API)
            self._wait_program(runs=False)

    def _wait_program(self, *, runs: bool) -> None:
        self.wait_answers(
            lambda endpoint: (_MARK in endpoint.chat("?", fresh=True).headers) == runs,
            what=f"the gateway running a program: {runs}",
        )

    def traffic_policy(self) -> Document:
        """Return what the gateway is told of how to treat its backends."""
        found = self.cluster.get(
            "BackendTrafficPolicy", self.profile.namespace, "inference", api_version=_POLICY_API
        )
        assert found is not None
        spec: Document = found["spec"]
        return spec

    def set_traffic_policy(self, **spec: object) -> None:
        """Merge-patch it."""
        namespace, body = self.profile.namespace, {"spec": spec}
        self.cluster.patch(
            "BackendTrafficPolicy", namespace, "inference", body, api_version=_POLICY_API
        )

    @contextmanager
    def deafened_once(self, due: Callable[[Endpoint], bool]) -> Iterator[None]:
        """Deafen the gateway as soon as what a check does within the block has come so far."""
        over = Event()

        def watch() -> None:
            with self.endpoint() as endpoint:
                while not over.wait(0.2):
                    if due(endpoint):
                        self.deafen_gateway()
                        return

        watcher = Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self.undeafen_gateway()

    def patch_route(self, spec: Document) -> None:
        """Merge-patch the spec of the engines' route."""
        namespace, name = self.profile.namespace, self.stack.way_in()["metadata"]["name"]
        self.cluster.patch("HTTPRoute", namespace, name, {"spec": spec}, api_version=_ROUTE_API)

    def deafen_gateway(self) -> None:
        """Let the proxies hear of no change any more: it is accepted, and nothing is programmed."""
        for node in self.cluster.nodes():
            self.rack.run(node.name, ["nft", "-f", "-"], stdin=_DEAF)

    def undeafen_gateway(self) -> None:
        """Let the proxies hear again, and wait until they follow the route."""
        for node in self.cluster.nodes():
            self.rack.run(node.name, ["nft", "-f", "-"], stdin=_HEARING)
        former, mark = self.stack.way_in()["spec"]["rules"], uuid.uuid4().hex
        header = {"set": [{"name": _MARK, "value": mark}]}
        marker = {"type": "ResponseHeaderModifier", "responseHeaderModifier": header}
        self.patch_route({"rules": [{**former[0], "filters": [marker]}, *former[1:]]})
        self.wait_answers(
            lambda endpoint: endpoint.chat("?", fresh=True).headers.get(_MARK) == mark,
            what="the gateway following its route again",
            within_seconds=90,
        )
        self.patch_route({"rules": former})

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

    def scale(self, replicas: int) -> None:
        """Have so many engines."""
        self._patch_engines({"replicas": replicas})

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
