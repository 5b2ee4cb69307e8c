"""The lab as a whole: bring it up, tell how it is, take it down without a trace."""

import contextlib
import datetime
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hotfire.errors import HarnessError, LabError
from hotfire.lab import cgroups, control_plane, fabric, netns, pki, worker
from hotfire.lab.images import Image, write_archive
from hotfire.lab.kube import Kubectl, condition, fill
from hotfire.lab.machines import Bind, Blueprint, Rack, Service
from hotfire.lab.parts import Parts, Workshop
from hotfire.lab.progress import Progress
from hotfire.lab.state import Ports, Record, State, cache_home, state_home
from hotfire.lab.topology import (
    CLUSTER_DOMAIN,
    DNS_ADDRESS,
    GATEWAY_ADDRESS,
    NAMESPACE_PREFIX,
    PROMETHEUS_ADDRESS,
    SERVICE_NETWORK,
    Machine,
    Topology,
)
from hotfire.waiting import until

_HERE = Path(__file__).parent
_SHIMS = _HERE / "assets"
_MANIFESTS = _HERE / "manifests"
_SERVICE_API_ADDRESS = str(next(SERVICE_NETWORK.hosts()))
_VALUES = {
    "CLUSTER_DOMAIN": CLUSTER_DOMAIN,
    "DNS_ADDRESS": DNS_ADDRESS,
    "GATEWAY_ADDRESS": GATEWAY_ADDRESS,
    "PROMETHEUS_ADDRESS": PROMETHEUS_ADDRESS,
}
_HELD = ("kubelet", "kube-proxy")
_TOOL_ENV = {"PYTHONPATH": "/opt/hotfire/tool:/opt/hotfire/src", "PYTHONDONTWRITEBYTECODE": "1"}
_ENGINE_ENV = {"PYTHONPATH": "/opt/hotfire/engine", "PYTHONDONTWRITEBYTECODE": "1"}
IMAGES = (
    Image(name=worker.PAUSE_IMAGE, command=("/pause", "-P")),
    Image(name="docker.io/library/python:3.11-slim", command=("python3",)),
    Image(name="hotfire.lab/vllm-openai-cpu:0.32.0", env=_ENGINE_ENV),
    Image(name="hotfire.lab/coredns:v1.15.0", entrypoint=("coredns",), command=()),
    Image(name="hotfire.lab/envoy-gateway:v1.9.1", entrypoint=("envoy-gateway",), command=()),
    Image(name="hotfire.lab/envoy:1.40.0", command=("envoy",)),
    Image(name="hotfire.lab/prometheus:v3.15.0", entrypoint=("prometheus",), command=()),
    Image(
        name="hotfire.lab/device-plugin:1",
        command=("python3", "-m", "hotfire.lab.device_plugin"),
        env=_TOOL_ENV,
    ),
)


class Lab:
    """One lab of one checkout on this machine."""

    def __init__(
        self, project: Path, *, home: Path | None = None, ports: Ports | None = None
    ) -> None:
        self.project = project
        self.state = State(home or state_home())
        self.ports = ports or Ports()
        self.rack = Rack(self.state.machines, usr_layer=self.state.home / "usr-layer")

    # --- up -----------------------------------------------------------------------------------

    def up(self, topology: Topology, progress: Progress) -> None:
        """Bring the lab up; returns when the Gateway is programmed. An interrupted one is taken down.

        Raises:
            LabError: this machine cannot carry it, or it already stands.
        """
        require_root()
        with self.state.locked():
            self._refuse_if_standing()
            parts = Workshop(cache_home(), self.project, progress).everything()
            self._refuse_busy_ports()
            self._record(topology, complete=False)
            try:
                self._bring_up(topology, parts, progress)
            except BaseException:
                progress.note(f"taking the half-built lab down again{self._save_logs()}")
                self._take_down(progress)
                raise
            self._record(topology, complete=True)

    def _refuse_if_standing(self) -> None:
        record = self.state.read()
        if record and record.checkout != str(self.project):
            raise LabError(
                f"a lab of {record.checkout} stands on this machine, and there is room for one; "
                "`hotfire lab down --any` removes it"
            )
        if record and record.complete:
            raise LabError("the lab is up already; `hotfire lab status` shows it")
        if record or netns.names(NAMESPACE_PREFIX) or cgroups.left():
            raise LabError("a half-built lab was left behind; `hotfire lab down` cleans it up")

    def _refuse_busy_ports(self) -> None:
        for name, port in (
            ("API server", self.ports.api),
            ("gateway", self.ports.gateway),
            ("Prometheus", self.ports.prometheus),
        ):
            with contextlib.closing(_listener(port, name)):
                pass

    def _record(self, topology: Topology, *, complete: bool) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.state.write(
            Record(
                checkout=str(self.project),
                started_at=now,
                complete=complete,
                nodes=topology.nodes,
                racks=topology.racks,
                gpus_per_node=topology.gpus_per_node,
                ports=self.ports,
            )
        )

    def _bring_up(self, topology: Topology, parts: Parts, progress: Progress) -> None:
        progress.note(f"building the fabric: {len(topology.links)} cables to two routers")
        fabric.build(topology)
        self._write_files(topology)
        self._switch_on(topology, parts)
        progress.note(f"{len(topology.machines)} machines are on; waiting for the API server")
        self._wait_api()
        kubectl = self.kubectl(parts.binaries)
        with _pool(4) as pool:
            definitions = pool.submit(self._gateway_definitions, kubectl, parts)
            self._join_nodes(topology, kubectl)
            progress.note("API server is ready; nodes join")
            kubectl.apply_text(fill(_MANIFESTS / "10-core.yaml", _VALUES))
            self._wait_nodes(topology, kubectl)
            progress.note(f"{topology.nodes} nodes Ready")
            definitions.result()
            kubectl.apply_text(fill(_MANIFESTS / "30-gateway.yaml", _VALUES))
        self._wait_gateway(kubectl)
        progress.note("Gateway Programmed")
        self._wait_add_ons(kubectl, topology)
        self._write_target(topology)
        progress.note("DNS, GPUs and Prometheus are ready")

    def _write_files(self, topology: Topology) -> None:
        usr = self.state.home / "usr-layer"
        shutil.copytree(_SHIMS, usr / "bin", dirs_exist_ok=True)
        (usr / "bin" / "nvidia-smi").chmod(0o755)
        machine = topology.control_plane
        directory = self.state.pki / machine.name
        authority = pki.write_control_plane(
            directory, address=machine.address, service_address=_SERVICE_API_ADDRESS
        )
        control_plane.write_identities(directory, authority, machine)
        server = control_plane.server(machine)
        proxy = (directory / "proxy.conf").read_text()
        for node in topology.workers:
            home = self.state.pki / node.name
            pair = authority.issue(
                f"system:node:{node.name}",
                groups=("system:nodes",),
                addresses=(node.name, node.address),
            )
            pki.write_pair(home, node.name, pair)
            (home / "ca.crt").write_bytes(authority.certificate)
            (home / "proxy.conf").write_text(proxy)
            (home / f"{node.name}.conf").write_text(
                pki.kubeconfig(server, authority.certificate, pair)
            )
        admin = authority.issue("lab-admin", groups=("system:masters",))
        pki.write_pair(self.state.pki, "admin", admin)
        host = pki.kubeconfig(f"https://127.0.0.1:{self.ports.api}", authority.certificate, admin)
        self.state.kubeconfig.write_text(host)
        self.state.kubeconfig.chmod(0o600)

    def _switch_on(self, topology: Topology, parts: Parts) -> None:
        lent = worker.Lent(
            binaries=parts.binaries,
            python=Path(sys.base_prefix),
            engine=parts.engine,
            model=parts.model,
            tool=Path(sysconfig.get_path("purelib")),
            source=_HERE.parent.parent,
        )
        relays = self._open_relays(topology)
        try:
            plans = [
                control_plane.blueprint(
                    topology, self.state.pki / topology.control_plane.name, parts.binaries
                ),
                *(_router(topology, machine) for machine in topology.routers),
                _client(topology, lent, relays),
                *(
                    worker.blueprint(topology, node, self.state.pki / node.name, lent)
                    for node in topology.workers
                ),
            ]
            archive = self.state.home / "images.tar"
            write_archive(archive, list(IMAGES))
            for node in topology.workers:
                self._hold(node, archive)
            with _pool(len(plans)) as pool:
                list(pool.map(self.rack.switch_on, plans))
                list(pool.map(self._import_images, topology.workers))
        finally:
            for listener, _, _ in relays:
                listener.close()

    def _hold(self, node: Machine, archive: Path) -> None:
        """Keep the kubelet back until its API server answers: its retries back off too far."""
        for service in _HELD:
            self.rack.hold(node.name, service)
        target = self.rack.var(node.name) / "lib" / "hotfire" / "images.tar"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(archive, target)

    def _import_images(self, node: Machine) -> None:
        until(
            lambda: self._containerd_serves(node),
            within_seconds=20,
            what=f"containerd serving on {node.name}",
            poll_seconds=0.05,
        )
        base = ["ctr", "--address", worker.CONTAINERD_SOCKET, "--namespace", "k8s.io"]
        self.rack.run(node.name, [*base, "images", "import", "--local", worker.IMAGE_ARCHIVE])

    def _containerd_serves(self, node: Machine) -> bool:
        if self.rack.pid(node.name) is None:
            raise LabError(f"machine {node.name} went off during its start")
        log = self.rack.log(node.name, "containerd")
        return log.exists() and "containerd successfully booted" in log.read_text()

    def _open_relays(self, topology: Topology) -> list[tuple[socket.socket, str, int]]:
        api = topology.control_plane.address
        return [
            (_listener(self.ports.api, "API server"), api, control_plane.API_PORT),
            (_listener(self.ports.gateway, "gateway"), GATEWAY_ADDRESS, 80),
            (_listener(self.ports.prometheus, "Prometheus"), PROMETHEUS_ADDRESS, 80),
        ]

    def _wait_api(self) -> None:
        until(self.api_ready, within_seconds=60, what="API server ready", poll_seconds=0.1)

    def api_ready(self) -> bool:
        """Return whether the API server says ok to /readyz, asked from the host."""
        context = ssl.create_default_context(cafile=str(self.state.pki / "cp1" / "ca.crt"))
        context.load_cert_chain(self.state.pki / "admin.crt", self.state.pki / "admin.key")
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.ports.api, timeout=2, context=context
        )
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kubectl(self, binaries: Path | None = None) -> Kubectl:
        """Return kubectl for this lab; without ``binaries`` the one of the standing lab."""
        directory = binaries or self._binaries()
        return Kubectl(directory / "kubectl", self.state.kubeconfig)

    def _binaries(self) -> Path:
        spec = json.loads((self.rack.home("cp1") / "spec.json").read_text())
        source = next(b["source"] for b in spec["binds"] if b["target"] == "/opt/hotfire/bin")
        return Path(source)

    def _gateway_definitions(self, kubectl: Kubectl, parts: Parts) -> None:
        """Everything the Gateway needs before it: its kinds, its certificates, its controller."""
        # `create` spares the reading that `apply` does; these exist nowhere yet.
        kubectl.run("create", "--validate=false", f"--filename={parts.gateway_crds}", "--recursive")
        kubectl.run("create", "namespace", "envoy-gateway-system")
        env = ["env", "KUBECONFIG=/etc/kubernetes/pki/admin.conf"]
        env += ["ENVOY_GATEWAY_NAMESPACE=envoy-gateway-system"]
        certgen = ["envoy-gateway", "certgen", "--disable-topology-injector"]
        self.rack.run("cp1", [*env, *certgen], within_seconds=60)
        kubectl.apply_text(fill(_MANIFESTS / "20-gateway-controller.yaml", _VALUES))

    def _join_nodes(self, topology: Topology, kubectl: Kubectl) -> None:
        nodes = [worker.node_object(node) for node in topology.workers]
        kubectl.run("create", "--filename=-", stdin=json.dumps(_list_of(nodes)))
        for node in topology.workers:
            for service in _HELD:
                self.rack.release(node.name, service)

    def _wait_nodes(self, topology: Topology, kubectl: Kubectl) -> None:
        def ready() -> bool:
            nodes = kubectl.items("nodes")
            return sum(condition(node, "Ready") for node in nodes) == topology.nodes

        until(ready, within_seconds=60, what=f"{topology.nodes} nodes Ready", poll_seconds=0.2)

    def _wait_gateway(self, kubectl: Kubectl) -> None:
        def programmed() -> bool:
            gateways = kubectl.items("gateways", "--namespace=envoy-gateway-system")
            return bool(gateways) and all(condition(each, "Programmed") for each in gateways)

        until(programmed, within_seconds=120, what="Gateway Programmed", poll_seconds=0.3)

    def _wait_add_ons(self, kubectl: Kubectl, topology: Topology) -> None:
        wanted = topology.nodes * topology.gpus_per_node

        def ready() -> str:
            """Return what is still missing, inverted for `until`: empty string means go on waiting."""
            deployments = kubectl.items("deployments", "--all-namespaces")
            slow = [d["metadata"]["name"] for d in deployments if not condition(d, "Available")]
            gpus = sum(_gpus(node) for node in kubectl.items("nodes"))
            return "" if slow or gpus != wanted else "all"

        until(
            ready, within_seconds=90, what=f"add-ons available and {wanted} GPUs", poll_seconds=0.4
        )

    def _write_target(self, topology: Topology) -> None:
        self.state.target.write_text(yaml.safe_dump(self.target(topology), sort_keys=False))

    def target(self, topology: Topology) -> dict[str, Any]:
        """Return the lab's target file; see docs of `hotfire.profile.TargetProfile`."""
        return {
            "name": "hotfire lab",
            "kubeconfig": "kubeconfig",
            "gateway": {
                "url": f"http://{GATEWAY_ADDRESS}",
                "host_url": f"http://127.0.0.1:{self.ports.gateway}",
                "network_namespace": topology.client.network_namespace,
                "class_name": "envoy",
            },
            "engine": {"model": "tiny"},
            "accelerator": {"memory": "host-cgroup"},
            "stack": {"deploy": True, "overlay": "lab"},
            "claims": ["canary", "redundant-uplinks"],
            "budgets": "lab",
            # Shorter than on GPUs, so that a whole certification fits into ten minutes; the sample
            # floors of the percentiles (100 for p95) still hold at this rate.
            "load": {"rate_per_second": 16.0, "max_tokens": 12, "prompt_words": 24},
            "measurement": {
                "baseline_seconds": 20.0,
                "baseline_requests": 300,
                "window_seconds": 10.0,
                "window_requests": 100,
                "hold_seconds": 20.0,
            },
            # The gateway's address is anycast from every node: when a router loses a node, it hashes
            # its flows anew, and those that change their node are reset. Up to 30 % of the streams
            # in flight at that moment; everything after it must be as before.
            "fault_budgets": {
                "FLT-NET-001": {
                    "error_ratio": 0.01,
                    "lost_streams": 4,
                    "longest_stall_seconds": 1.0,
                    "recovery_seconds": 5.0,
                }
            },
            "fabric": {"uplinks": ["up1", "up2"], "routing": "bird"},
            "prometheus_url": f"http://127.0.0.1:{self.ports.prometheus}",
        }

    # --- down ---------------------------------------------------------------------------------

    def down(self, progress: Progress, *, any_checkout: bool = False) -> bool:
        """Take down whatever stands, whole or half; return whether there was anything.

        Raises:
            LabError: it is another checkout's lab, or something could not be removed.
        """
        require_root()
        with self.state.locked():
            record = self.state.read()
            if record and record.checkout != str(self.project) and not any_checkout:
                raise LabError(f"the lab belongs to {record.checkout}; `lab down --any` removes it")
            found = bool(record or self.rack.names() or self.leftovers())
            self._take_down(progress)
            left = self.leftovers()
            if left:
                raise LabError(f"could not remove: {', '.join(left)}; run `hotfire lab down` again")
            return found

    def _take_down(self, progress: Progress) -> None:
        with _no_interrupts():
            spaces = netns.names(NAMESPACE_PREFIX)
            for name in self.rack.names():
                self.rack.cut_power(name)
            _end(lambda: cgroups.processes() | set(netns.processes_inside(spaces)))
            for name in spaces:
                netns.delete(name)
            cgroups.remove()
            self.state.erase()
            progress.note("the lab is down")

    def leftovers(self) -> list[str]:
        """Return what of a lab is still on this machine, in words."""
        spaces = netns.names(NAMESPACE_PREFIX)
        return [
            *(f"network namespace {name}" for name in spaces),
            *(f"process {pid}" for pid in cgroups.processes()),
            *(f"cgroup {path}" for path in cgroups.left()),
            *(f"mount {path}" for path in _mounts(self.state.home)),
        ]

    def _save_logs(self) -> str:
        """Keep the logs of a failed start; return where, as a phrase."""
        if not self.state.machines.is_dir():
            return ""
        target = self.state.home.parent / "failed-lab-logs"
        shutil.rmtree(target, ignore_errors=True)
        self.collect_logs(target)
        return f" (logs in {target})"

    def collect_logs(self, target: Path) -> None:
        """Copy every log of every machine below a directory."""
        for name in self.rack.names():
            for log in (self.rack.var(name) / "log").glob("*.log"):
                (target / name).mkdir(parents=True, exist_ok=True)
                shutil.copy2(log, target / name / log.name)
            init = self.rack.home(name) / "init.log"
            if init.exists() and (target / name).is_dir():
                shutil.copy2(init, target / name / "init.log")


def require_root() -> None:
    """Raise LabError unless this is root on Linux."""
    if not sys.platform.startswith("linux"):
        raise LabError("the lab needs Linux: it is made of network namespaces")
    if os.geteuid() != 0:
        raise LabError(
            "the lab needs root: it makes network namespaces, mounts and cgroups; use sudo"
        )


def _router(topology: Topology, machine: Machine) -> Blueprint:
    return Blueprint(
        machine=machine,
        services=(control_plane.bird_service(),),
        files={fabric.BIRD_CONFIG: fabric.bird_config(topology, machine)},
        directories=("/run/bird",),
    )


def _client(
    topology: Topology, lent: worker.Lent, relays: Iterable[tuple[socket.socket, str, int]]
) -> Blueprint:
    """The client machine: where users' requests leave from; it also carries the host's relays."""
    rows = [(listener.fileno(), host, port) for listener, host, port in relays]
    program = "/opt/hotfire/relay.py"
    relay = Service(
        name="relay",
        argv=("/opt/hotfire/python/bin/python3", "-I", "-S", program, json.dumps(rows)),
        fds=tuple(fd for fd, _, _ in rows),
    )
    return Blueprint(
        machine=topology.client,
        services=(control_plane.bird_service(), relay),
        binds=(Bind(source=str(lent.python), target="/opt/hotfire/python"),),
        files={
            fabric.BIRD_CONFIG: fabric.bird_config(topology, topology.client),
            program: (_HERE / "relay.py").read_text(),
        },
        directories=("/run/bird",),
    )


def _listener(port: int, name: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise LabError(
            f"port {port} of 127.0.0.1, meant for the lab's {name}, is in use; end what uses it "
            f"or choose another port"
        ) from error
    listener.listen(256)
    return listener


def _list_of(items: list[dict[str, object]]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _gpus(node: dict[str, Any]) -> int:
    return int(node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", "0"))


def _mounts(home: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(str(home))]


def _end(processes: Callable[[], set[int]]) -> None:
    """Kill until none is left; those of the machines are dying with their PID 1 already."""

    def none_left() -> bool:
        alive = processes() - {os.getpid()}
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    with contextlib.suppress(HarnessError):  # What is left is told by `leftovers`.
        until(none_left, within_seconds=10, what="no process of the lab", poll_seconds=0.05)


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that does not wait for its threads when the block ends in an error, Ctrl-C above all."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Let a second Ctrl-C not stop the cleaning up."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def standing(record: Record) -> Topology:
    """Return the topology a record describes."""
    return Topology(nodes=record.nodes, racks=record.racks, gpus_per_node=record.gpus_per_node)


def with_ports(ports: Ports, **changes: int | None) -> Ports:
    return replace(ports, **{key: value for key, value in changes.items() if value is not None})
