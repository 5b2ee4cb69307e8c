"""A pod reaches only the accelerators allocated to it.

Whoever opens a device reads what is left in its memory and can stop the engine that computes on it.
That no node of it lies in /dev is no protection: a pod may make one, by its number.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest

from fixtures.accelerators import Accelerators
from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-001",
    Level.MUST,
    __doc__,
    source="https://github.com/cncf/k8s-ai-conformance/blob/main/docs/AIConformance-1.37.yaml",
    cncf="security.secure_accelerator_access",
    scope=Scope.CORE,
)

IDLE = ["sleep", "600"]
# Pod security's baseline lets a pod ask for it; some runtimes give it to every one.
MAY_MAKE_NODES = {"securityContext": {"capabilities": {"add": ["MKNOD"]}}}
LIST = """
import json, os, stat
# null, zero, random; tty, console, ptmx; pseudo-terminals: every container has them.
STANDARD = {1, 5, *range(136, 144)}
found = {}
for folder, _, names in os.walk("/dev"):
    for name in names:
        path = os.path.join(folder, name)
        node = os.lstat(path)
        kind = "c" * stat.S_ISCHR(node.st_mode) or "b" * stat.S_ISBLK(node.st_mode)
        if kind == "b" or kind and os.major(node.st_rdev) not in STANDARD:
            found[path] = f"{kind} {os.major(node.st_rdev)}:{os.minor(node.st_rdev)}"
print(json.dumps(found))
"""
# Opens devices by the nodes that are there and by a new one; nothing is read or written.
OPEN = """
import errno, json, os, stat, sys, tempfile
here, *wanted = sys.argv[1:]
paths = json.loads(here)
def opened(path):
    ends = []
    for way in (os.O_RDONLY, os.O_RDWR):
        try:
            os.close(os.open(path, way | os.O_NONBLOCK))
            return "opened"
        except OSError as error:
            ends.append(errno.errorcode[error.errno])
    return ends[0]
def made(device):
    kind, numbers = device.split()
    mode = 0o600 | (stat.S_IFCHR if kind == "c" else stat.S_IFBLK)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "node")
        try:
            os.mknod(path, mode, os.makedev(*map(int, numbers.split(":"))))
        except OSError as error:
            return "not made: " + errno.errorcode[error.errno]
        return opened(path)
ends = {}
for device in wanted:
    ends[device] = {path: opened(path) for path in paths if paths[path] == device}
    ends[device]["a node made"] = made(device)
print(json.dumps(ends))
"""
# Nodes that stand for one accelerator each; those without a number are shared by all who have one.
OF_ONE_DEVICE = re.compile(
    r"/dev/(nvidia|nvidia-caps/nvidia-cap|dri/card|dri/renderD|accel/accel|accel|vfio/|davinci"
    r"|neuron|hl)\d+"
)
REFUSED = {"EPERM", "EACCES"}
NOT_MADE = "not made"

Nodes = dict[str, str]
"""Device numbers such as ``c 195:0``, by path."""
Ends = Mapping[str, Mapping[str, str]]
"""How opening ended, by device and by way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A pod that holds accelerators, and the device nodes it finds."""

    name: str
    devices: frozenset[str]
    nodes: Nodes

    def of_one_device(self) -> set[str]:
        return {number for path, number in self.nodes.items() if OF_ONE_DEVICE.fullmatch(path)}

    def own(self) -> set[str]:
        return self.of_one_device() or set(self.nodes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Pods of ours and engines, asked for their device nodes."""

    cluster: Cluster
    profile: TargetProfile
    scratch: Scratch
    stack: Stack
    accelerators: Accelerators
    gpu_nodes: list[Node]

    def start(self, node: Node, *, at_most: int) -> list[str]:
        """Start pods with one accelerator each, as far as there are free ones."""
        names = [f"{number}-{node.name}" for number in ("first", "second")]
        names = names[: min(at_most, self.accelerators.free(node))]
        for name in names:
            self.accelerators.start(name, node, argv=IDLE, fields=MAY_MAKE_NODES)
        return names

    def nodes_of(self, name: str) -> Nodes:
        self.scratch.wait_phase(name, "Running")
        found: Nodes = json.loads(self.scratch.exec(name, ["python3", "-c", LIST]))
        return found

    def opened(self, name: str, own: Nodes, wanted: Iterable[str]) -> Ends:
        argv = ["python3", "-c", OPEN, json.dumps(own), *sorted(wanted)]
        ends: Ends = json.loads(self.scratch.exec(name, argv))
        return ends

    def holders(self, node: Node, probes: list[str]) -> list[Holder]:
        """Return those of our pods and of the engines that hold an accelerator of a node."""
        nodes = {(self.scratch.namespace, name): self.nodes_of(name) for name in probes}
        held = self.accelerators.holders(node)
        container = self.profile.engine.container
        for pod in self.stack.engines():
            if (pod.namespace, pod.name) in held and pod.ready:
                argv = ["python3", "-c", LIST]
                done = self.cluster.exec(pod.namespace, pod.name, container=container, argv=argv)
                # An engine without Python is one holder fewer; what is left decides.
                if done.rc == 0:
                    nodes[pod.namespace, pod.name] = json.loads(done.stdout)
        return [
            Holder(name=pod[1], devices=held.get(pod, frozenset()), nodes=found)
            for pod, found in nodes.items()
        ]

    def opened_of_each_other(self, holders: list[Holder], probes: list[str]) -> dict[str, Ends]:
        """Return how each probe's attempts at the accelerators of all other holders ended."""
        found = {}
        for attacker in (one for one in holders if one.name in probes):
            for other in (one for one in holders if one is not attacker):
                if wanted := apart(attacker, other):
                    ends = self.opened(attacker.name, attacker.nodes, wanted)
                    found[f"{attacker.name} opens {other.name}'s"] = ends
        return found


def reached(ends: Ends) -> list[str]:
    """Return the devices whose driver was reached; what it then said does not matter."""
    return [
        device
        for device, ways in ends.items()
        if any(end not in REFUSED and not end.startswith(NOT_MADE) for end in ways.values())
    ]


def check_control(name: str, own: Ends) -> None:
    """Negative control: what cannot open a pod's own device tells nothing about another's."""
    by_number = [ways["a node made"] for ways in own.values()]
    if not reached(own) or all(end in REFUSED for end in by_number):
        raise HarnessError(f"{name} does not open the accelerator allocated to it: {own}")


def apart(attacker: Holder, other: Holder) -> set[str]:
    """Return the other's devices that the attacker must not open.

    These are what is the other's alone; where the attacker sees all of it, whatever stands for one
    device. There are none between shares of one device, and where no node stands for one.
    """
    if attacker.devices & other.devices:
        return set()
    alone = set(other.nodes.values()) - set(attacker.nodes.values())
    return alone or other.of_one_device()


@pytest.fixture
def probes(
    profile: TargetProfile,
    cluster: Cluster,
    scratch: Scratch,
    stack: Stack,
    accelerators: Accelerators,
    evidence: Evidence,
) -> Probes:
    """Who holds accelerators, on the nodes that are probed."""
    return Probes(
        cluster=cluster,
        profile=profile,
        scratch=scratch,
        stack=stack,
        accelerators=accelerators,
        gpu_nodes=probed_nodes(cluster, profile, evidence),
    )


def test_pod_without_a_request_opens_no_accelerator(
    profile: TargetProfile, scratch: Scratch, probes: Probes, evidence: Evidence
) -> None:
    started = {}
    for node in (nodes := probes.gpu_nodes):
        fields = MAY_MAKE_NODES
        scratch.pod(f"none-{node.name}", argv=IDLE, node=node.name, container_besides=fields)
        started[node.name] = probes.start(node, at_most=1)
    ends: dict[str, Ends] = {}
    controls: dict[str, Ends] = {}
    for node in nodes:
        plain = probes.nodes_of(f"none-{node.name}")
        wanted: set[str] = set()
        for holder in probes.holders(node, started[node.name]):
            wanted |= set(holder.nodes.values()) - set(plain.values()) | holder.of_one_device()
            if holder.name in started[node.name]:
                controls[holder.name] = probes.opened(holder.name, holder.nodes, holder.own())
        if not wanted:
            raise HarnessError(f"nobody on {node.name} holds an accelerator; free one of them")
        ends[node.name] = probes.opened(f"none-{node.name}", plain, wanted)
    evidence.record("opened_by_a_pod_without_request", ends)
    evidence.record("opened_by_their_own_pods", controls)

    assert ends, f"no node matches {profile.accelerator.node_selector}"
    for name, found in ends.items():
        assert not reached(found), f"{name}: a pod without a request opens {reached(found)}"
    for name, control in controls.items():
        check_control(name, control)


def test_pod_with_an_accelerator_opens_no_other(
    accelerators: Accelerators, probes: Probes, evidence: Evidence
) -> None:
    started = {node.name: probes.start(node, at_most=2) for node in probes.gpu_nodes}
    ends: dict[str, Ends] = {}
    controls: dict[str, Ends] = {}
    unseen = []
    for node in probes.gpu_nodes:
        holders = probes.holders(node, started[node.name])
        of_others = probes.opened_of_each_other(holders, started[node.name])
        ends |= of_others
        for one in (one for one in holders if one.name in started[node.name]):
            controls[one.name] = probes.opened(one.name, one.nodes, one.own())
        if not of_others and accelerators.total(node) > 1:
            unseen.append(node.name)
    evidence.record("opened_by_pods_with_another", ends)
    evidence.record("opened_by_their_own_pods", controls)
    evidence.record("nodes_without_two_holders_to_ask", unseen)

    for name, found in ends.items():
        assert not reached(found), f"{name} {reached(found)}"
    for name, control in controls.items():
        check_control(name, control)
    if unseen or not ends:
        raise HarnessError(
            "needs a free accelerator beside one that we or an engine hold, with device nodes of "
            f"its own, on {', '.join(unseen) or 'a node'}"
        )
