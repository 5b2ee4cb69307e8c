"""What a node's agent measures on the path itself, and where the cluster's DNS is asked."""

from statistics import median
from typing import Final

from hotfire.chaos.agent_answers import Answer, read
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.written import Target
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError

# So many that a band of a few points around a share is missed by chance once in a thousand times.
ECHOES: Final = 2000
ANSWERS: Final = 5
_ECHO_SECONDS: Final = 4.0
_PROBE_SECONDS: Final = 2.0
_FRAME_BYTES: Final = 1400
_DNS_NAMESPACE, _DNS_SELECTOR = "kube-system", "k8s-app=kube-dns"
# Any answer shows that the server is there, so this need not be the cluster's own domain.
_NAME: Final = "kubernetes.default.svc.cluster.local"
_ANSWER_SECONDS: Final = 2.0


class Echoes(Answer):
    """What came back of a series of numbered echoes over one link."""

    sent: int
    lost: int
    doubled: int
    overtaken: int
    damaged: int
    round_trip_seconds: float | None
    """The middle one; None where nothing came back."""

    def percent(self, of: str) -> float:
        """Return which share of the probes was ``lost``, ``doubled`` or ``overtaken``."""
        counted = {"lost": self.lost, "doubled": self.doubled, "overtaken": self.overtaken}
        return 100 * counted[of] / self.sent


class Passed(Answer):
    """What a link sent while frames were offered to it."""

    seconds: float
    passed_bytes: int


class Rules(Answer):
    """How many packets the rules of an entry have met."""

    drops: int
    of_each_rule: tuple[int, ...]


class Service(Answer):
    """A service of a node."""

    pid: int | None
    """Of its main process; None: it does not run."""


def echoes(agent: AgentClient, target: Target) -> Echoes:
    """Return what comes back over a link from its other end."""
    asked = {"link": target.link, "times": ECHOES, "seconds": _ECHO_SECONDS}
    return read(Echoes, agent.call(target.node, "link.echoes", **asked))


def bits_per_second(agent: AgentClient, target: Target, *, offered: float) -> float:
    """Return what a link sends in a second while it is offered so many bits."""
    asked = {
        "link": target.link,
        "frames": round(offered * _PROBE_SECONDS / 8 / _FRAME_BYTES),
        "frame_bytes": _FRAME_BYTES,
        "seconds": _PROBE_SECONDS,
    }
    passed = read(Passed, agent.call(target.node, "link.probe", **asked))
    return passed.passed_bytes * 8 / passed.seconds


def rules(agent: AgentClient, node: str, entry_id: str) -> Rules:
    """Return what an entry's rules have met so far; where nothing was fired there are none."""
    if entry_id not in {one.id for one in agent.entries(node)}:
        return Rules(drops=0, of_each_rule=())
    return read(Rules, agent.call(node, "net.drops", id=entry_id))


class Connected(Answer):
    """How an attempt to connect ended."""

    reason: str
    """Why it did not work; empty: it did."""


def connected(agent: AgentClient, node: str, address: str, port: int) -> str:
    """Return why a node cannot connect to a port; empty: it can."""
    asked = {"address": address, "port": port, "within_seconds": _ANSWER_SECONDS}
    return read(Connected, agent.call(node, "net.connect", **asked)).reason


class Answered(Answer):
    """How long each of some answers took."""

    seconds: tuple[float, ...]


def answer_seconds(agent: AgentClient, node: str, address: str, port: int) -> float:
    """Return how long an HTTP server takes to answer a node, whatever it says: the middle one."""
    place = {"address": address, "port": port}
    asked = {**place, "times": ANSWERS, "within_seconds": _ANSWER_SECONDS}
    return median(read(Answered, agent.call(node, "net.answers", **asked)).seconds)


def service(agent: AgentClient, node: str, name: str) -> Service:
    """Return the state of a node's service."""
    return read(Service, agent.call(node, "service.state", service=name))


class Room(Answer):
    """A file system of a node."""

    total_bytes: int
    free_bytes: int


def room(agent: AgentClient, node: str, path: str) -> Room:
    """Return the room on the file system of a node's directory."""
    return read(Room, agent.call(node, "disk.room", path=path))


class Memory(Answer):
    """Memory of a node, as its kubelet counts it."""

    total_bytes: int
    free_bytes: int


def memory(agent: AgentClient, node: str) -> Memory:
    """Return how much memory a node has, and how much of it nobody works with."""
    return read(Memory, agent.call(node, "memory.room"))


class Share(Answer):
    """What a model store gives a node."""

    percent: float
    """Of what it gave before."""


def store_share(agent: AgentClient, node: str, entry_id: str) -> float:
    """Return how many percent of before comes to a node, by the agent's entry that knows both."""
    return read(Share, agent.call(node, "store.share", id=entry_id)).percent


class Lookup(Answer):
    """How a question to a name server ended."""

    outcome: str


def lookup(agent: AgentClient, node: str, server: str) -> str:
    """Return the outcome of asking a name server from a node: a word of DNS, or ``no answer``."""
    asked = {"server": server, "name": _NAME, "within_seconds": _ANSWER_SECONDS}
    return read(Lookup, agent.call(node, "net.lookup", **asked)).outcome


def dns_address(cluster: Cluster) -> str:
    """Return the cluster's DNS address, that of the Service with the label they all have.

    Raises:
        HarnessError: there is none.
    """
    found = cluster.list("Service", _DNS_NAMESPACE, selector=_DNS_SELECTOR)
    addresses = [str((one.get("spec") or {}).get("clusterIP") or "") for one in found]
    for address in addresses:
        if address not in {"", "None"}:
            return address
    raise HarnessError(f"no Service {_DNS_SELECTOR} with an address in {_DNS_NAMESPACE}")
