"""The RAG application as processes of this machine, and as the pods of an API server in miniature.

A thread stands for controllers and kubelet: it starts and ends processes as the objects say, and
says of each pod that it is Ready once its process listens.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.agent_pods import code_digest
from hotfire.chaos.plan import World
from hotfire.rag import Part as Name
from tests.chaos.platform import NAMESPACE
from tests.engine_process import EngineProcess, running_engine
from tests.fake_api import Document, FakeApi
from tests.meanwhile import meanwhile
from tests.ports import free_port
from tests.test_rag_application import DOCUMENTS, Part, running

API, ENGINE = "api", "engine"
PARTS: tuple[Name, ...] = ("api", "retriever", "vector-store", "session-store")
CONTEXT_SECONDS = 0.5
PROBE = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2}
APPS = "apps/v1"


class Pages(dict[tuple[str, str, str], str]):
    """The metrics page of whatever pod of the API is asked for, as it is at that moment."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def get(self, key: object, default: object = None) -> str:
        del key, default
        return told(self._url, "/metrics")


def told(url: str, path: str) -> str:
    """Return a page, or nothing where nobody answers."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


@dataclass
class Machine:
    """What runs, and what is said of it."""

    api: FakeApi
    engine: EngineProcess
    environment: dict[str, str]
    further: Mapping[str, str]
    """By part, another one that its readiness asks for, too."""
    source: str
    """The API's program in place of its own; empty: its own."""
    ports: dict[str, int] = field(default_factory=lambda: {part: free_port() for part in PARTS})
    processes: dict[str, tuple[str, Part, ExitStack]] = field(default_factory=dict)
    """By part, the uid of the pod whose process it is, the process, and what ends it."""
    made: int = 0

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.ports[part]}"

    def turn(self) -> None:
        """Bring each part to what is wanted of it, and say what is so."""
        with self.api.lock:
            uids = {part: self._pods_as_wanted(part) for part in PARTS}
        # Without the lock: a process takes its time to start, and others ask the API meanwhile.
        for part in PARTS:
            self._run(part, uids[part])
        with self.api.lock:
            for part in PARTS:
                ready = {part, self.further.get(part, part)} <= self.processes.keys()
                for one in self.pods(part):
                    one["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]

    def _pods_as_wanted(self, part: str) -> list[str]:
        """Make or remove pods of a part; return the uids of those that there are then."""
        wanted = self.api.objects[APPS, "deployments", NAMESPACE, part]["spec"]["replicas"]
        while len(pods := self.pods(part)) > wanted:
            # A pod is there for as long as its process is.
            if part in self.processes and self.processes[part][0] == pods[-1]["metadata"]["uid"]:
                self.end(part)
            self.api.remove(("v1", "pods", NAMESPACE, pods[-1]["metadata"]["name"]))
        for _ in range(wanted - len(pods)):
            self.made += 1
            self.api.put(pod(part, f"{part}-{self.made:03d}"))
        return [one["metadata"]["uid"] for one in self.pods(part)]

    def pods(self, part: str) -> list[Document]:
        found = [one for key, one in sorted(self.api.objects.items()) if key[1] == "pods"]
        return [one for one in found if one["metadata"]["labels"] == {"app": part}]

    def _run(self, part: str, uids: list[str]) -> None:
        """Have a process for the first pod of a part, and none where it has no pod."""
        if part in self.processes and self.processes[part][0] not in uids:
            self.end(part)
        if uids and part not in self.processes:
            ending = ExitStack()
            words = {
                "retriever": [self.url("vector-store")],
                "vector-store": [str(DOCUMENTS)],
            }.get(part, [])
            program = running(
                part.replace("-", "_"), *words, port=self.ports[part],
                source=self.source if part == API else "", environment=self.environment,
            )  # fmt: skip
            self.processes[part] = (uids[0], ending.enter_context(program), ending)

    def end(self, part: str) -> None:
        self.processes.pop(part)[2].close()

    def signal(self, uid: str, number: int) -> None:
        """Signal the process of a pod; the engine's is that of the last engine pod."""
        for one, part, _ in list(self.processes.values()):
            if one == uid:
                part.process.send_signal(number)
        if uid == self.api.objects["v1", "pods", NAMESPACE, "engine-2"]["metadata"]["uid"]:
            self.engine.process.send_signal(number)


class Agent(AgentClient):
    """Lets processes of this machine stand still."""

    def __init__(self, world: World, machine: Machine) -> None:
        super().__init__(world.cluster, world.profile)
        self._machine = machine
        self._standing: dict[object, str] = {}

    def _call(
        self, node: str, op: str, args: Mapping[str, object], *, repeatable: bool = False
    ) -> object:
        del node, repeatable
        if op == "process.signal":
            self._standing[args["id"]] = str(args["pod_uid"])
            self._machine.signal(str(args["pod_uid"]), signal.SIGSTOP)
            return {"id": args["id"], "op": op, "state": "injected"}
        if op == "heal" and args["id"] in self._standing:
            self._machine.signal(self._standing.pop(args["id"]), signal.SIGCONT)
        return {"ping": {"code": code_digest()}, "heal": {"problems": []}, "list": []}[op]


def pod(app: str, name: str, *, owner: bool = True) -> Document:
    """Return a pod that runs."""
    owners = [{"apiVersion": APPS, "kind": "Deployment", "name": app, "uid": app}]
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": app}}
    status = {"name": app, "containerID": f"containerd://{name}", "restartCount": 0, "ready": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | ({"ownerReferences": owners} if owner else {}),
        "spec": {"nodeName": "n1", "containers": [{"name": app, "readinessProbe": PROBE}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(not owner)}],
            "containerStatuses": [{**status, "state": {"running": {}}}],
        },
    }


@contextmanager
def machine(
    api: FakeApi, *, further: Mapping[str, str], source: str, **environment: str
) -> Iterator[Machine]:
    """Run the application for the length of a block; ``environment`` replaces its API's own."""
    options = ("--misbehaviour=echo", "--ttft-seconds=0.03", "--tpot-seconds=0.001")
    with running_engine(*options) as engine:
        found = Machine(api, engine, {}, further, source)
        found.environment |= {
            "ENGINE": engine.url,
            "RETRIEVER": found.url("retriever"),
            "SESSIONS": found.url("session-store"),
            "CONTEXT_SECONDS": str(CONTEXT_SECONDS),
            **environment,
        }
        api.pages = Pages(found.url(API))
        for part in PARTS:
            metadata = {"name": part, "namespace": NAMESPACE, "uid": part}
            spec = {"replicas": 1, "template": {"spec": {"containers": [{"name": part}]}}}
            api.put({"apiVersion": APPS, "kind": "Deployment", "metadata": metadata, "spec": spec})
        for name in ("engine-1", "engine-2"):
            api.put(pod("vllm", name, owner=False))
        with _turning(found):
            yield found


@contextmanager
def _turning(found: Machine) -> Iterator[None]:
    try:
        with meanwhile(found.turn):
            yield
    finally:
        for part in list(found.processes):
            found.end(part)
