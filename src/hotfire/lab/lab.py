"""The lab as a whole: bring it up, take it down without a trace."""

import contextlib
import datetime
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from hotfire.errors import HotfireError, LabError
from hotfire.lab.build.parts import Parts
from hotfire.lab.build.workshop import Workshop
from hotfire.lab.cluster import (
    add_ons,
    extending,
    joining,
    logs,
    on_demand,
    readiness,
    target,
)
from hotfire.lab.cluster.kube import Kubectl
from hotfire.lab.cluster.pool_process import PoolProcess
from hotfire.lab.machine import (
    assembly,
    cgroups,
    client,
    control_plane,
    credentials,
    remains,
    worker,
)
from hotfire.lab.machine.machines import Rack
from hotfire.lab.network import fabric
from hotfire.lab.shape import topology_file
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.state import LabRecord, Ports, State, cache_home, state_home
from hotfire.lab.shape.topology import Topology

# A member of the control plane that is slow for a moment loses its clients to the others.
_START_ATTEMPTS = 10


class Lab:
    """One lab of one checkout on this machine."""

    def __init__(
        self, project: Path, *, home: Path | None = None, ports: Ports | None = None
    ) -> None:
        self.project = project
        self.state = State(home or state_home())
        record = None if ports else self.state.read()
        self.ports = ports or (record.ports if record else Ports())
        self.rack = Rack(self.state.machines, usr_layer=self.state.home / "usr-layer")

    def up(self, topology: Topology, progress: Progress) -> None:
        """Bring the lab up; returns when the Gateway is programmed.

        A start that fails or is interrupted is taken down again. Where the lab of that shape stands
        already, nothing happens.

        Raises:
            LabError: this machine cannot carry it, a lab of another shape stands, or a machine
                lost its power meanwhile.
        """
        require_root()
        with self.state.locked():
            if self._stands_so(topology):
                progress.note("the lab is up already; `hotfire lab status` shows it")
                return
            self._clear_the_way(progress)
            asked = on_demand.resolve(topology.add_ons)
            topology = replace(topology, add_ons=tuple(each.name for each in asked))
            workshop = self._workshop(topology, progress)
            parts = workshop.everything(extending.parts(asked))
            with client.relays(self.ports):
                pass  # A port in use is told before anything is built.
            self._record(topology, complete=False)
            try:
                self._bring_up(topology, parts, progress)
            except BaseException as error:
                off = [name for name in self.rack.names() if self.rack.pid(name) is None]
                progress.note(f"taking the half-built lab down again{self._save_logs()}")
                self._take_down(progress)
                if off and isinstance(error, HotfireError):
                    raise LabError(
                        f"{', '.join(off)} went off during the start: {error}"
                    ) from error
                raise
            self._record(topology, complete=True)

    def _workshop(self, topology: Topology, progress: Progress) -> Workshop:
        return Workshop(cache_home(), self.project, progress, kubernetes=topology.kubernetes)

    def _stands_so(self, topology: Topology) -> bool:
        """Return whether all of this checkout's lab is on, in the shape that is asked for.

        Raises:
            LabError: it stands in another shape.
        """
        if not self.stands():
            return False
        now = standing(self._own_record())
        # What was added to it since is no other shape.
        asked = replace(topology, pool_nodes=now.pool_nodes, add_ons=now.add_ons)
        if new := sorted(set(topology.add_ons) - set(now.add_ons)):
            raise LabError(
                f"the lab is up without {', '.join(new)}; `hotfire lab add` brings it in"
            )
        if asked != now:
            raise LabError(
                f"the lab is up in another shape ({topology_file.differences(now, asked)}); "
                "`hotfire lab down` comes first"
            )
        return True

    def stands(self) -> bool:
        """Return whether this checkout's lab is up with every machine on.

        Raises:
            LabError: it is up, but a machine of it is off.
        """
        record = self.state.read()
        if record is None or not record.complete or record.checkout != str(self.project):
            return False
        machines = [machine.name for machine in standing(record).machines]
        off = [name for name in machines if self.rack.pid(name) is None]
        if off and len(off) < len(machines):
            raise LabError(
                f"the lab is up, but {', '.join(off)} is off; `hotfire lab status` shows it, "
                "`hotfire lab down` starts over"
            )
        return not off

    def _clear_the_way(self, progress: Progress) -> None:
        """Remove a lab that a reboot has ended; refuse where one stands, whole or half."""
        record = self.state.read()
        if record and not self.leftovers():
            progress.note("removing the state of a lab that a reboot or crash has ended")
            self._take_down(progress)
            return
        if record and record.checkout != str(self.project):
            raise LabError(
                f"a lab of {record.checkout} stands on this machine, and there is room for one; "
                "`hotfire lab down --any` removes it"
            )
        if record or self.leftovers():
            raise LabError("a half-built lab was left behind; `hotfire lab down` cleans it up")

    def _record(self, topology: Topology, *, complete: bool) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.state.write(
            LabRecord(
                checkout=str(self.project),
                started_at=now,
                complete=complete,
                topology=topology_file.document(topology),
                ports=self.ports,
            )
        )

    def topology(self) -> Topology:
        """Return the shape of the standing lab.

        Raises:
            LabError: none stands, or it is another checkout's.
        """
        return topology_file.parse(self._own_record().topology)

    def remember(self, topology: Topology) -> None:
        """Write down that the standing lab has another shape now."""
        changed = replace(self._own_record(), topology=topology_file.document(topology))
        self.state.write(changed)

    def _own_record(self) -> LabRecord:
        record = self.state.read()
        if record is None or not record.complete:
            raise LabError("no lab is up; `hotfire lab up` starts one")
        if record.checkout != str(self.project):
            raise LabError(f"the lab belongs to {record.checkout}")
        return record

    def _bring_up(self, topology: Topology, parts: Parts, progress: Progress) -> None:
        routers = " and ".join(router.name for router in topology.routers)
        progress.note(f"building the fabric: {len(topology.links)} cables to {routers}")
        fabric.build(topology)
        assembly.write_shims(self.state.home / "usr-layer")
        credentials.write(topology, self.state, api_port=self.ports.api)
        self._switch_on(topology, parts)
        progress.note(f"{len(topology.machines)} machines are on; waiting for the API server")
        readiness.wait_api(topology, self.state, self.ports.api)
        kubectl = replace(self.kubectl(parts.binaries), attempts=_START_ATTEMPTS)
        with _pool(4) as pool:
            definitions = pool.submit(
                add_ons.create_gateway_controller, kubectl, self.rack, parts.gateway_crds
            )
            self._join_nodes(topology, kubectl)
            progress.note("API server is ready; nodes join")
            add_ons.apply_core(kubectl, topology)
            readiness.wait_nodes(topology, kubectl)
            progress.note(f"{len(topology.workers)} nodes Ready")
            definitions.result()
            add_ons.apply_gateway(kubectl)
        readiness.wait_gateway(kubectl)
        progress.note("Gateway Programmed")
        readiness.wait_add_ons(topology, kubectl)
        self._write_target(topology)
        progress.note("DNS, GPUs and Prometheus are ready")
        if topology.add_ons:
            asked = on_demand.resolve(topology.add_ons)
            extending.start(kubectl, self.state, parts.add_ons, add_ons=asked, progress=progress)

    def extend(self, names: Iterable[str], progress: Progress) -> None:
        """Bring add-ons into the standing lab; those that are there already are left alone.

        Raises:
            LabError: no lab stands, there is no such add-on, or it did not become ready.
        """
        with self.state.locked():
            topology = self.topology()
            asked = on_demand.resolve(names)
            new = [each for each in asked if each.name not in topology.add_ons]
            workshop = self._workshop(topology, progress)
            homes = {part.name: workshop.add_on(part) for part in extending.parts(new)}
            grown = replace(topology, add_ons=(*topology.add_ons, *(each.name for each in new)))
            extending.stock(self.state, grown.add_ons, homes)
            for node in topology.workers:
                joining.deliver_images(self.rack, node, self.state.images)
                joining.import_images(self.rack, node)
            extending.start(self.kubectl(), self.state, homes, add_ons=new, progress=progress)
            self.remember(grown)

    def _switch_on(self, topology: Topology, parts: Parts) -> None:
        with client.relays(self.ports) as relays:
            plans = assembly.blueprints(topology, self.state, parts, relays)
            extending.stock(self.state, topology.add_ons, parts.add_ons)
            for node in topology.workers:
                joining.hold(self.rack, node)
                joining.deliver_images(self.rack, node, self.state.images)
            with _pool(len(plans)) as pool:
                list(pool.map(self.rack.switch_on, plans))
                list(pool.map(partial(joining.import_images, self.rack), topology.workers))

    def api_ready(self) -> bool:
        """Return whether the API server says ok to /readyz, asked from the host."""
        return readiness.api_ready(self.state, self.ports.api)

    def kubectl(self, binaries: Path | None = None) -> Kubectl:
        """Return kubectl for this lab; without ``binaries`` the one of the standing lab."""
        directory = binaries or self._binaries()
        return Kubectl(directory / "kubectl", self.state.kubeconfig)

    def _binaries(self) -> Path:
        binds = self.rack.spec("cp1")["binds"]
        return Path(next(b["source"] for b in binds if b["target"] == "/opt/hotfire/bin"))

    def _join_nodes(self, topology: Topology, kubectl: Kubectl) -> None:
        items = [worker.node_object(topology, node) for node in topology.workers]
        joining.create(kubectl, [*items, *control_plane.service_endpoints()])
        for node in topology.workers:
            joining.release(self.rack, node)

    def _write_target(self, topology: Topology) -> None:
        document = target.document(topology, self.ports, self.state.home)
        self.state.target.write_text(yaml.safe_dump(document, sort_keys=False))

    def down(self, progress: Progress, *, any_checkout: bool = False) -> bool:
        """Take down whatever stands, whole or half; return whether there was anything.

        Raises:
            LabError: it is another checkout's lab, or something could not be removed.
        """
        require_root()
        record = self.state.read()
        if record and record.checkout != str(self.project) and not any_checkout:
            raise LabError(f"the lab belongs to {record.checkout}; `lab down --any` removes it")
        # It may be in the middle of a change, which it undoes.
        PoolProcess(self.state).stop()
        with self.state.locked():
            found = bool(record or self.rack.names() or self.leftovers())
            self._take_down(progress)
            left = self.leftovers()
            if left:
                raise LabError(f"could not remove: {', '.join(left)}; run `hotfire lab down` again")
            return found

    def _take_down(self, progress: Progress) -> None:
        with remains.no_interrupts():
            # First who would switch machines on again.
            remains.end(lambda: cgroups.processes("warden"))
            for name in self.rack.names():
                self.rack.cut_power(name)
            remains.clear()
            self.state.erase()
            progress.note("the lab is down")

    def leftovers(self) -> list[str]:
        """Return what of a lab is still on this machine, in words."""
        return remains.left(self.state.home)

    def _save_logs(self) -> str:
        """Keep the logs of a failed start; return where, as a phrase."""
        if not self.state.machines.is_dir():
            return ""
        directory = self.state.home.parent / "failed-lab-logs"
        shutil.rmtree(directory, ignore_errors=True)
        self.collect_logs(directory)
        return f" (logs in {directory})"

    def collect_logs(self, directory: Path) -> None:
        """Copy every log of every machine below a directory."""
        logs.collect(self.rack, directory)
        for log in (*self.state.handles.glob("*.log"), PoolProcess(self.state).log):
            if log.exists():
                shutil.copy2(log, directory / log.name)


def require_root() -> None:
    """Raise LabError unless this is root on Linux."""
    if not sys.platform.startswith("linux"):
        raise LabError("the lab needs Linux: it is made of network namespaces")
    if os.geteuid() != 0:
        raise LabError(
            "the lab needs root: it makes network namespaces, mounts and cgroups; use sudo"
        )


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool; a block that ends in an error, Ctrl-C above all, does not await its threads."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def standing(record: LabRecord) -> Topology:
    """Return the topology a record describes."""
    return topology_file.parse(record.topology)
