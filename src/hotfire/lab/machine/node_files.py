"""What a worker reads: the configuration of kubelet, kube-proxy, CNI and containerd."""

import json
import os

from hotfire.lab.build.images import PAUSE_IMAGE
from hotfire.lab.gpu import gpus
from hotfire.lab.machine import cgroups
from hotfire.lab.network import fabric
from hotfire.lab.shape.blueprint import PKI
from hotfire.lab.shape.topology import (
    CLUSTER_DOMAIN,
    DNS_ADDRESS,
    MTU,
    POD_NETWORK,
    Machine,
    Topology,
)

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
# What a worker without GPUs offers, on a host that has more.
_SMALL_CORES, _SMALL_BYTES = 1, 2 << 30
_BASE_SPEC, _SANDBOX = "/etc/containerd/base-spec.json", "/etc/containerd/runsc.toml"
_ADD_ONS = "/opt/hotfire/add-ons"
# What every container sees of its node, read-only; pods need no hostPath for their programs.
_LENT = (
    "/usr",
    "/etc/alternatives",
    "/etc/ssl",
    "/etc/ld.so.cache",
    "/opt/hotfire/bin",
    _ADD_ONS,
    "/opt/hotfire/python",
    "/opt/hotfire/engine",
)
_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
)


def files(topology: Topology, machine: Machine) -> dict[str, str]:
    """Return the files of a worker by their paths on it."""
    return {
        fabric.BIRD_CONFIG: fabric.bird_config(topology, machine),
        fabric.BALANCED_CONFIG: fabric.NONE_BALANCED,
        "/etc/kubernetes/kubelet.json": json.dumps(_kubelet_config(machine)),
        "/etc/kubernetes/proxy.json": json.dumps(_proxy_config(machine)),
        "/etc/kubernetes/resolv.conf": f"nameserver {DNS_ADDRESS}\n",
        "/etc/resolv.conf": f"nameserver {DNS_ADDRESS}\n",
        "/etc/containerd/config.toml": _containerd_config(machine),
        _SANDBOX: _sandbox_config(),
        "/etc/cni/net.d/10-hotfire.conflist": json.dumps(_cni_config(machine)),
        _BASE_SPEC: json.dumps(_base_spec()),
        gpus.CONFIG: json.dumps(topology.sharing(machine).plugin_config()),
    }


def _kubelet_config(machine: Machine) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/{machine.name}.crt",
        "tlsPrivateKeyFile": f"{PKI}/{machine.name}.key",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "/etc/kubernetes/resolv.conf",
        # Root without CAP_SYS_RESOURCE cannot lower an OOM score.
        "oomScoreAdj": 0,
        "serializeImagePulls": False,
        # A GPU that fails is gone from allocatable in a second; else the status is sent as before.
        "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "4s",
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        # The images exist nowhere else: collecting them would be for good.
        "imageGCHighThresholdPercent": 100,
        "systemReserved": _kept_back() if machine.small else {},
    }


def _kept_back() -> dict[str, str]:
    """Return what a small worker keeps from its pods: nearly all of the host."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = max(0, (os.cpu_count() or 1) - _SMALL_CORES)
    return {"cpu": str(cores), "memory": str(max(0, memory - _SMALL_BYTES))}


def _proxy_config(machine: Machine) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{PKI}/proxy.conf"},
        "mode": "iptables",
        "hostnameOverride": machine.name,
        "clusterCIDR": str(POD_NETWORK),
        "oomScoreAdj": 0,
        "metricsBindAddress": f"{machine.address}:10249",
        # A namespace may not change the machine-wide table.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _cni_config(machine: Machine) -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": "hotfire",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "mtu": MTU,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": machine.pod_network}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": "/var/lib/cni/networks",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
            # Last: a container starts once the network policies know its pod's address.
            {"type": "hotfire-policy"},
        ],
    }


def _containerd_config(machine: Machine) -> str:
    cri = "io.containerd.cri.v1"
    return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[metrics]
  address = "{machine.address}:1338"
[plugins."{cri}.images"]
  snapshotter = "overlayfs"
  [plugins."{cri}.images".pinned_images]
    sandbox = "{PAUSE_IMAGE}"
[plugins."{cri}.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."{cri}.runtime".cni]
    bin_dirs = ["/usr/lib/cni", "/usr/bin"]
    conf_dir = "/etc/cni/net.d"
  [plugins."{cri}.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."{cri}.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      base_runtime_spec = "{_BASE_SPEC}"
      [plugins."{cri}.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
    [plugins."{cri}.runtime".containerd.runtimes.own-files]
      runtime_type = "io.containerd.runc.v2"
      [plugins."{cri}.runtime".containerd.runtimes.own-files.options]
        SystemdCgroup = false
    [plugins."{cri}.runtime".containerd.runtimes.runsc]
      runtime_type = "io.containerd.runsc.v1"
      runtime_path = "{_ADD_ONS}/containerd-shim-runsc-v1"
      base_runtime_spec = "{_BASE_SPEC}"
      [plugins."{cri}.runtime".containerd.runtimes.runsc.options]
        TypeUrl = "io.containerd.runsc.v1.options"
        ConfigPath = "{_SANDBOX}"
"""


def _sandbox_config() -> str:
    """Return what gVisor's shim is told; its programs are there with the add-on that brings it."""
    return f"""binary_name = "{_ADD_ONS}/runsc"
[runsc_config]
  ignore-cgroups = "true"
"""


def _base_spec() -> dict[str, object]:
    """Return the OCI specification every container starts from."""
    capabilities = [f"CAP_{name}" for name in _CAPABILITIES.split()]
    kinds = ("bounding", "effective", "permitted")
    return {
        "ociVersion": "1.1.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(kinds, capabilities),
        },
        "root": {"path": "rootfs"},
        "mounts": [*_system_mounts(), *(_lent_mount(path) for path in _LENT)],
        "linux": {
            "cgroupsPath": "/default",
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [
                {"type": kind}
                for kind in ("pid", "ipc", "uts", "mount", "network", *_cgroup_kind())
            ],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    }


def _cgroup_kind() -> tuple[str, ...]:
    return ("cgroup",) if cgroups.version() == 2 else ()


def _system_mounts() -> list[dict[str, object]]:
    quiet = ["nosuid", "noexec", "nodev"]
    shm = [*quiet, "mode=1777", "size=65536k"]
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    rows: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", quiet),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", pts),
        ("/dev/shm", "tmpfs", "shm", shm),  # noqa: S108 - a mount point, not a file
        ("/dev/mqueue", "mqueue", "mqueue", quiet),
        ("/sys", "sysfs", "sysfs", [*quiet, "ro"]),
        ("/run", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ]
    return [
        {"destination": target, "type": kind, "source": source, "options": options}
        for target, kind, source, options in rows
    ]


def _lent_mount(path: str) -> dict[str, object]:
    return {"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]}
