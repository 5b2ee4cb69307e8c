"""The node agent as the runner sees it: deploying it, and asking it through the API server."""

import json
import secrets
from collections.abc import Mapping
from typing import Final

from hotfire.agent.entries import HEALED
from hotfire.chaos import outside
from hotfire.chaos.agent_answers import (
    AgentEntry,
    ContainerUse,
    CpuState,
    DeviceGrant,
    EngineAnswer,
    Gpu,
    LinkState,
    ProcessState,
    QueueAnswer,
    read,
)
from hotfire.chaos.agent_pods import LABELS, NAME, code_digest, manifests, program
from hotfire.cluster import RUN_LABEL, Cluster, Estate, ExecResult, Pod
from hotfire.errors import ClusterError, FaultNotInjected, HarnessError, StackNotReady
from hotfire.profile import TargetProfile
from hotfire.waiting import until

_LABELLED: Final = f"app.kubernetes.io/name={NAME}"
_CALL_SECONDS: Final = 40.0
# An engine that serves writes a token in a fraction of it; what stands still does not at all.
_TOKEN_SECONDS: Final = 4.0
_PONG_SECONDS: Final = 2.0


def entry_id(what: str) -> str:
    """Return an id for an order of ours: an agent takes none a second time once it was undone."""
    return f"{what[:24]}-{secrets.token_hex(4)}"


class AgentClient:
    """Every node's agent, by the node's name."""

    def __init__(self, cluster: Cluster, profile: TargetProfile, *, token: int = 0) -> None:
        """Ask agents as the holder of the run's Lease with this token; 0: as nobody's run."""
        self.token = token
        self._cluster = cluster
        self._profile = profile
        self._namespace = profile.system_namespace

    # Life

    def deploy(self, *, run_id: str) -> None:
        """Put an agent on every node and wait until each answers.

        Raises:
            ProfileError: the system namespace, or an agent in it, is there and is not hotfire's.
            StackNotReady: a node's agent did not answer in time; the message names the node.
        """
        Estate(self._cluster, self._namespace, run_id=run_id).open()
        self._cluster.apply(manifests(self._profile, run_id=run_id, fence=self.token))
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the DaemonSet has an answering agent on every node it wants."""
        try:
            until(
                self._all_answer,
                within_seconds=self._profile.waits.agent_seconds,
                what=f"an answering agent on each node ({self._namespace}/{NAME})",
                poll_seconds=1.0,
                excused_seconds=self._cluster.silent_seconds,
            )
        except HarnessError as error:
            raise StackNotReady(f"{error}; {self._trouble()}") from error

    def remove(self) -> None:
        """Heal every node, then remove the agents.

        Raises:
            HarnessError: a node could not be healed; the agents then stay.
        """
        unhealed = {node: problems for node in self.nodes() if (problems := self._unhealed(node))}
        # A node that left the cluster took along what was on it; its pods are listed for a while.
        problems = [one for node in filter(self._is_there, unhealed) for one in unhealed[node]]
        if problems:
            raise HarnessError(f"agents stay, since nodes are not healed: {'; '.join(problems)}")
        for kind, version in (("DaemonSet", "apps/v1"), ("ConfigMap", "v1")):
            found = self._cluster.get(kind, self._namespace, NAME, api_version=version)
            if found is not None and self._cluster.owns(found):
                uid = found["metadata"]["uid"]
                self._cluster.delete(kind, self._namespace, NAME, uid=uid, api_version=version)
        until(
            lambda: not self._pods(),
            within_seconds=self._profile.waits.pod_gone_seconds,
            what="no agent pods",
            excused_seconds=self._cluster.silent_seconds,
        )

    def is_ours(self, node: str) -> bool:
        """Return whether a node's agent answers and runs the very code of this hotfire."""
        try:
            answer = self._call(node, "ping", {})
        except HarnessError:
            return False
        return isinstance(answer, dict) and answer.get("code") == code_digest()

    def facts(self) -> dict[str, object]:
        """Return what runs on the nodes: the image asked for, what it came to there, the code."""
        image = self._profile.images.python
        came_to = {
            pod.node: container.image_id for pod in self._pods() for container in pod.containers
        }
        return {
            "image": image,
            "pinned": "@sha256:" in image,
            "image_ids": came_to,
            "code_sha256": code_digest(),
        }

    def run_id(self) -> str:
        """Return the run that put the agents there; empty where there are none."""
        found = self._cluster.get("DaemonSet", self._namespace, NAME, api_version="apps/v1")
        labels = ((found or {}).get("metadata") or {}).get("labels") or {}
        return str(labels.get(RUN_LABEL, ""))

    def nodes(self) -> list[str]:
        """Return the nodes that have a running agent."""
        return [pod.node for pod in self._pods() if pod.phase == "Running"]

    # Observations

    def link_state(self, node: str, link: str) -> LinkState:
        """Return what a node sees of one of its links."""
        return read(LinkState, self.call(node, "link.state", link=link))

    def device_grants(self, node: str) -> list[DeviceGrant]:
        """Return which devices a node's kubelet gave to which container."""
        return read(list[DeviceGrant], self.call(node, "pod_resources"))

    def container_use(self, node: str, *, pod_uid: str, container_id: str) -> ContainerUse:
        """Return what a container of a node uses now."""
        answer = self.call(node, "cgroup.use", pod_uid=pod_uid, container_id=container_id)
        return read(ContainerUse, answer)

    def gpus(self, node: str) -> list[Gpu]:
        """Return a node's GPUs."""
        answer = self.call(node, "gpu.list")
        return read(list[Gpu], answer["gpus"] if isinstance(answer, dict) else answer)

    def process_states(self, node: str, id_: str) -> list[ProcessState]:
        """Return what the processes do that a fault on a node was aimed at; none: nobody was."""
        if id_ not in {entry.id for entry in self.entries(node)}:
            return []
        answer = self.call(node, "process.states", id=id_)
        return read(list[ProcessState], answer)

    def ask_engine(self, node: str, address: str) -> EngineAnswer:
        """Return what an engine says to a node that asks it for one token, past any gateway."""
        engine = self._profile.engine
        order = {"address": address, "port": engine.port, "model": engine.model}
        answer = self.call(node, "engine.ask", within_seconds=_TOKEN_SECONDS, **order)
        return read(EngineAnswer, answer)

    def ask_queue(self, node: str, address: str, port: int) -> QueueAnswer:
        """Return what a queue says to a node that sends it PING."""
        order = {"address": address, "port": port, "within_seconds": _PONG_SECONDS}
        return read(QueueAnswer, self.call(node, "redis.ping", **order))

    def cpu_state(self, node: str, *, pod_uid: str, container_id: str) -> CpuState:
        """Return how a container of a node stands with its CPU quota."""
        answer = self.call(node, "cgroup.cpu", pod_uid=pod_uid, container_id=container_id)
        return read(CpuState, answer)

    # Faults

    def fire(self, node: str, op: str, id_: str, **args: object) -> AgentEntry:
        """Inject a fault for one lease; the node undoes it by itself when that ends.

        Raises:
            FaultNotInjected: the agent refused, could not, or does not know of it afterwards.
        """
        order = {"id": id_, "ttl_seconds": self._profile.agent.lease_seconds, **args}
        try:
            answer = until(
                lambda: self._ordered(node, op, order),
                within_seconds=self._profile.waits.injection_seconds,
                what=f"entry {id_} on {node}",
            )
        except HarnessError as error:
            raise FaultNotInjected(f"{op} on {node}: {error}") from error
        entry = read(AgentEntry, answer)
        if entry.state == HEALED:
            why = entry.observed.healed_because
            raise FaultNotInjected(f"{op} on {node} was undone at once: {why}; see the agent's log")
        return entry

    def fire_unheard(self, node: str, op: str, id_: str, *, seconds: float, **args: object) -> None:
        """Give an order that may cut the way by which its answer would come; it lasts that long.

        Raises:
            FaultNotInjected: the agent refused.
        """
        try:
            self._call(node, op, {"id": id_, "ttl_seconds": seconds, **args})
        except ClusterError:
            return  # Whether it was carried out is for a sighting to tell.
        except HarnessError as error:
            raise FaultNotInjected(f"{op} on {node}: {error}") from error

    def entry(self, node: str, id_: str) -> AgentEntry:
        """Return one entry of a node, healed ones of this agent's life included."""
        return read(AgentEntry, self.call(node, "entry", id=id_))

    def entries(self, node: str) -> list[AgentEntry]:
        """Return all entries of a node."""
        return read(list[AgentEntry], self.call(node, "list"))

    def open_entries(self, node: str) -> list[AgentEntry]:
        """Return the entries of a node that are not healed."""
        return [entry for entry in self.entries(node) if entry.state != HEALED]

    def renew(self, node: str, id_: str) -> None:
        """Give a fault another lease from now on."""
        self.call(node, "renew", id=id_, ttl_seconds=self._profile.agent.lease_seconds)

    def heal(self, node: str, id_: str | None = None) -> list[str]:
        """Undo one entry, or all of a node; return what could not be undone, with reasons.

        An entry the node does not know is healed: it was never armed, or healed and forgotten. The
        node hears of it all the same: an order that is still on its way then comes too late.
        """
        answer = self.call(node, "heal", id=id_)
        return [str(problem) for problem in answer["problems"]] if isinstance(answer, dict) else []

    def call(self, node: str, op: str, **args: object) -> object:
        """Ask one node's agent something that may be asked twice: all but to inject a fault.

        Raises:
            ClusterError: the agent could not be reached.
            HarnessError: the agent refused; the message is its reason.
        """
        return self._call(node, op, args, repeatable=True)

    # Parts

    def _call(
        self, node: str, op: str, args: Mapping[str, object], *, repeatable: bool = False
    ) -> object:
        token = {"token": self.token} if self.token else {}
        request = json.dumps({"op": op, **args, **token})
        if command := self._profile.control_plane.agents.get(node):
            said = outside.run([*command, request], within_seconds=_CALL_SECONDS)
        else:
            said = self._ask_pod(node, request, repeatable=repeatable)
        try:
            reply = json.loads(said.stdout)
        except json.JSONDecodeError as error:
            problem = said.stderr.strip()[-500:]
            raise ClusterError(f"the agent on {node} did not answer {op}: {problem}") from error
        if not reply["ok"]:
            raise HarnessError(f"the agent on {node} refused {op}: {reply['error']}")
        return reply["result"]

    def _ask_pod(self, node: str, request: str, *, repeatable: bool) -> ExecResult:
        return self._cluster.exec(
            self._namespace,
            self._pod(node).name,
            container="agent",
            argv=[*program(), "call", request],
            within_seconds=_CALL_SECONDS,
            repeatable=repeatable,
        )

    def _ordered(self, node: str, op: str, order: Mapping[str, object]) -> object:
        """Return a node's entry of a fault that was ordered; None: nobody knows yet.

        The fault may have cut the very path of the answer, or the order was lost: the node knows.
        It takes an id once, so that an order that is given twice is carried out once.
        """
        id_ = str(order["id"])
        try:
            return self._call(node, op, order)
        except ClusterError:
            return self._known(node, id_)
        except HarnessError:
            # Refused: for good, or since an order before this one did arrive.
            if known := self._known(node, id_):
                return known
            raise

    def _unhealed(self, node: str) -> list[str]:
        """Return what of a node could not be undone; one that does not answer hides no other."""
        try:
            return self.heal(node)
        except HarnessError as error:
            return [str(error)]

    def _known(self, node: str, id_: str) -> object:
        try:
            return self.call(node, "entry", id=id_)
        except HarnessError:
            return None

    def _pods(self) -> list[Pod]:
        return self._cluster.pods(self._namespace, LABELS)

    def _pod(self, node: str) -> Pod:
        # Not all of them: a cluster may have thousands of nodes.
        here = f"spec.nodeName={node}"
        found = self._cluster.list("Pod", self._namespace, selector=_LABELLED, field_selector=here)
        for pod in map(Pod.parse, found):
            if pod.node == node and pod.phase == "Running" and not pod.deleting:
                return pod
        raise ClusterError(f"node {node} has no running agent in {self._namespace}")

    def _is_there(self, node: str) -> bool:
        return self._cluster.get("Node", None, node) is not None

    def _all_answer(self) -> bool:
        found = self._cluster.get("DaemonSet", self._namespace, NAME, api_version="apps/v1")
        status = (found or {}).get("status") or {}
        wanted = status.get("desiredNumberScheduled", 0)
        nodes = self.nodes()
        # Agents of an earlier run answer, too, until they are replaced.
        if found and status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
            return False
        replaced = status.get("updatedNumberScheduled", 0) == wanted
        return 0 < wanted == len(nodes) and replaced and all(map(self.is_ours, nodes))

    def _trouble(self) -> str:
        pods = [f"{pod.node}: {pod.phase} {_waiting(pod)}".strip() for pod in self._pods()]
        return "; ".join(pods) or "no pod was created; see the DaemonSet's events"


def _waiting(pod: Pod) -> str:
    return ",".join(one.waiting_reason for one in pod.containers if one.waiting_reason)
