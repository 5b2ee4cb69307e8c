"""A serving platform in miniature: two engine pods behind a Service, as API objects."""

import threading
from pathlib import Path

from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.fault import Fault
from hotfire.chaos.plan import World
from hotfire.cluster import Cluster
from hotfire.gateway import Gateway
from hotfire.profile import Budgets, Engine, Measurement, TargetProfile
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.waits import Waits
from tests.fake_api import Document, FakeApi

NAMESPACE = "hotfire-stack"
SYSTEM = "hotfire-system"
KILL = Fault.model_validate(
    {
        "name": "hotfire", "id": "FLT-POD-001", "level": "MUST", "source": "https://example.org",
        "targets": {"word": "engine-pods"}, "steps": [{"word": "pod-kill"}],
        "seen": {"word": "pod-replaced"}, "gone": {"word": "engines-ready"},
        "repaired_by": "target", "budgets": {"recovery_seconds": 10},
    }
)  # fmt: skip


class Platform:
    """Engine pods and their endpoints; `replacing` stands for the ReplicaSet's controller."""

    def __init__(self, api: FakeApi, *, engines: int = 2) -> None:
        self.api = api
        self._count = 0
        self._wanted = engines
        for _ in range(engines):
            self.add_engine()

    def add_engine(self, *, ready: bool = True) -> Document:
        self._count += 1
        pod = engine_pod(f"engine-{self._count}", node=f"n{self._count}", ready=ready)
        self.api.put(pod)
        self.publish()
        return pod

    def publish(self) -> None:
        """Write the EndpointSlice as its controller would."""
        endpoints = [
            {
                "addresses": [f"10.0.0.{number}"],
                "conditions": {"ready": True},
                "targetRef": {
                    "kind": "Pod",
                    "name": name,
                    "uid": self.pod(name)["metadata"]["uid"],
                },
            }
            for number, name in enumerate(self.api.names("pods"), start=1)
        ]
        metadata = {
            "name": "engine-abc",
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": "engine"},
        }
        document = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
        self.api.put({**document, "metadata": metadata, "endpoints": endpoints})

    def pod(self, name: str) -> Document:
        return self.api.objects["v1", "pods", NAMESPACE, name]

    def replacing(self, over: threading.Event) -> None:
        """Replace missing pods until told to stop; run it as a thread."""
        while not over.wait(0.1):
            if len(self.api.names("pods")) < self._wanted:
                self.publish()
                over.wait(0.5)
                self.add_engine()


def engine_pod(name: str, *, node: str, ready: bool = True, restarts: int = 0) -> Document:
    container = {
        "name": "vllm",
        "containerID": f"containerd://{name}-0123456789ab",
        "restartCount": restarts,
        "ready": ready,
        "state": {"running": {}},
    }
    condition = {"type": "Ready", "status": str(ready)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "vllm"}},
        "spec": {"nodeName": node},
        "status": {
            "phase": "Running",
            "conditions": [condition],
            "containerStatuses": [container],
        },
    }


def profile_for(folder: Path, address: str, *, gateway: str = "http://10.0.0.1") -> TargetProfile:
    """Return a profile with a kubeconfig of its own and measurements short enough for a test."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        f"apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: '{address}'}}}}]\n"
        f"contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        f"users: [{{name: u, user: {{}}}}]\n"
    )
    return TargetProfile(
        name="miniature",
        kubeconfig=kubeconfig,
        allowed_namespaces=[NAMESPACE],
        gateway=Gateway(url=gateway),
        engine=Engine(model="tiny"),
        budgets=Budgets(error_ratio=0.01, ttft_p95_seconds=2.0),
        measurement=Measurement(
            baseline_seconds=3, baseline_requests=40, window_seconds=1, window_requests=10,
            hold_seconds=2, batch_seconds=0.5, effect_error_ratio=0.5, band_factor=4,
            band_floor_seconds=0.5, band_floor_tpot_seconds=0.5,
        ),
        waits=Waits(pod_ready_seconds=10, healing_seconds=5, injection_seconds=5),
    )  # fmt: skip


def world_for(cluster: Cluster, profile: TargetProfile) -> World:
    return World(cluster=cluster, agent=AgentClient(cluster, profile), profile=profile)


def run_directory(folder: Path) -> RunDirectory:
    info = RunInfo.begin(command=("test",), target_name="miniature", tool_version="0")
    return RunDirectory.create(folder / "runs", info)
