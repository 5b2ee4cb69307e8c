"""Adds worker machines to a standing lab and takes them away again.

A stand-in for what a cloud's node group or a bare-metal provisioner does: the machine, its cables,
its place in the fabric, its certificates and its Node are as real as those of the first workers,
only the buying is missing. Its Nodes carry the label `POOL_LABEL`.
"""

import contextlib
import shutil
from dataclasses import replace

from hotfire.errors import LabError
from hotfire.lab.cluster import joining, loading, readiness
from hotfire.lab.cluster.kube import condition
from hotfire.lab.lab import Lab
from hotfire.lab.machine import cgroups, credentials, pki, remains, worker
from hotfire.lab.network import fabric
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import LAST_WORKER, Machine, Topology
from hotfire.waiting import until

POOL_LABEL = {"hotfire.lab/node-pool": "stand-in"}


class NodePool:
    """The workers beyond those that the lab came up with."""

    def __init__(self, lab: Lab, progress: Progress) -> None:
        self._lab = lab
        self._rack = lab.rack
        self._state = lab.state
        self._progress = progress

    def add(self, number: int | None = None) -> Machine:
        """Add a worker and return it once it is Ready and offers its GPUs.

        What was built of it is taken down again if that fails.

        Raises:
            LabError: no lab stands, or the worker did not come up.
        """
        with self._state.locked():
            topology = self._lab.topology()
            number = number or free_numbers(topology)[0]
            grown = replace(topology, pool_nodes=(*topology.pool_nodes, number))
            node = grown.machine(f"n{number}")
            self._lab.remember(grown)
            try:
                with self._progress.step(f"adding {node.name} in {node.rack}"):
                    self._build(grown, node)
            except BaseException:
                with remains.no_interrupts():
                    self._clear(grown, node)
                raise
            return node

    def remove(self, name: str, *, drain_seconds: float = 90) -> None:
        """Evict a worker's pods, delete its Node and remove the machine.

        Raises:
            LabError: it is not of the pool, or its pods may not go; then it stays, schedulable.
        """
        self._check(self._lab.topology(), name)
        self._drain(name, drain_seconds)
        with self._state.locked():
            topology = self._lab.topology()
            self._check(topology, name)
            with self._progress.step(f"removing {name}"), remains.no_interrupts():
                self._clear(topology, topology.machine(name))

    def _build(self, topology: Topology, node: Machine) -> None:
        kubectl = self._lab.kubectl()
        lent = worker.lent_to(self._rack.spec(topology.workers[0].name))
        fabric.attach(topology, node)
        self._tell_routers(topology)
        authority = pki.read_authority(self._state.pki / topology.members[0].name)
        credentials.write_worker(self._state, authority, node)
        joining.hold(self._rack, node)
        joining.deliver_images(self._rack, node, self._state.images)
        self._rack.switch_on(worker.blueprint(topology, node, self._state.pki / node.name, lent))
        joining.import_images(self._rack, node)
        for archive in loading.loaded(self._state):
            loading.load(self._rack, node, archive)
        joining.create(kubectl, [worker.node_object(topology, node, POOL_LABEL)])
        joining.release(self._rack, node)
        until(
            lambda: self._serves(topology, node),
            within_seconds=60,
            what=f"{node.name} Ready with {len(node.gpus)} GPUs",
            poll_seconds=0.3,
        )

    def _serves(self, topology: Topology, node: Machine) -> bool:
        wanted = topology.sharing(node).resources(len(node.gpus))
        (found,) = self._lab.kubectl().items("node", node.name)
        return condition(found, "Ready") and readiness.gpus(found) == wanted

    def _drain(self, name: str, within_seconds: float) -> None:
        kubectl = self._lab.kubectl()
        words = ["--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={within_seconds:g}s"]
        try:
            with self._progress.step(f"draining {name}"):
                kubectl.run("drain", name, *words, within_seconds=within_seconds + 10)
        except LabError as error:
            if "NotFound" in str(error):
                return
            kubectl.run("uncordon", name)
            raise

    def _check(self, topology: Topology, name: str) -> None:
        names = [f"n{number}" for number in topology.pool_nodes]
        if name not in names:
            there = ", ".join(names) or "none"
            raise LabError(f"{name} is not a worker of the node pool; those are: {there}")

    def _clear(self, topology: Topology, node: Machine) -> None:
        """Remove whatever there is of a worker, all of it or half."""
        shrunk = replace(
            topology, pool_nodes=tuple(n for n in topology.pool_nodes if n != node.index)
        )
        with contextlib.suppress(LabError):  # The API server may be what failed.
            self._lab.kubectl().run("delete", "node", node.name, "--ignore-not-found")
        self._rack.cut_power(node.name)
        remains.end(lambda: cgroups.processes(node.name))
        fabric.detach(topology, node)
        self._tell_routers(shrunk)
        self._rack.discard(node.name)
        shutil.rmtree(self._state.pki / node.name, ignore_errors=True)
        self._lab.remember(shrunk)

    def _tell_routers(self, topology: Topology) -> None:
        """Give the routers a session for each machine there is now; the others' stay up."""
        for router in topology.routers:
            config = fabric.bird_config(topology, router)
            self._rack.rewrite(router.name, fabric.BIRD_CONFIG, config)
            if self._rack.pid(router.name):
                self._rack.run(router.name, ["birdc", "-s", fabric.BIRD_SOCKET, "configure"])


def free_numbers(topology: Topology) -> list[int]:
    """Return the numbers that further workers may have, lowest first."""
    taken = {each.index for each in topology.workers}
    return [number for number in range(1, LAST_WORKER + 1) if number not in taken]
