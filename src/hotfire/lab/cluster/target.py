"""The lab's own target file: what the lab says about itself to the suites."""

import sys
from pathlib import Path
from typing import Any

from hotfire.lab.shape.state import Ports
from hotfire.lab.shape.topology import GATEWAY_ADDRESS, Topology

RATE_PER_SECOND = 16.0
_CLAIMS = (
    *("canary", "control-plane-services", "device-taints", "gang-scheduling", "metrics-store"),
    *("node-power", "playable-gpu-failures", "quotas", "routed-pods", "traffic-mirroring"),
)
_LOAD = {"rate_per_second": RATE_PER_SECOND, "max_tokens": 12, "prompt_words": 24}
# Shorter than on GPUs, so that a whole certification fits into a quarter of an hour.
MEASUREMENT: dict[str, Any] = {
    "baseline_seconds": 60.0,
    "baseline_requests": 800,
    "window_seconds": 10.0,
    "window_requests": 100,
    "hold_seconds": 40.0,
    "soak_seconds": 600.0,
    # The tiny model's first token takes 15 ms and each later one 3 ms.
    "band_floor_seconds": 0.02,
    "band_floor_tpot_seconds": 0.001,
}
_COMPONENTS = {
    "gateway-control-plane": {"namespace": "envoy-gateway-system", "name": "envoy-gateway"},
    "monitoring": {"namespace": "monitoring", "name": "prometheus"},
}
# Faults at which a router loses a node, for a moment at least.
_REHASHING = ("FLT-NET-001", "FLT-NET-002", "FLT-NET-003", "FLT-NET-005")
_REHASHED = {
    # The gateway's address is anycast from every node: when a router loses a node, it hashes its
    # flows anew, and those that change their node are reset. Up to 30 % of the streams in flight at
    # that moment; everything after it must be as before.
    "error_ratio": 0.01,
    "lost_streams": 4,
    # The width of a window: nothing shorter is told from noise on shared cores.
    "recovery_seconds": 10.0,
}
_FAULT_BUDGETS = {
    **dict.fromkeys(_REHASHING, _REHASHED),
    # BFD comes and goes, and each time it is so. A fourth retransmission of one packet ends 3.0 s
    # after the packet; 3.1 s were measured.
    "FLT-NET-004": {**_REHASHED, "longest_stall_seconds": 3.5},
    # Twice within seconds: the router loses the node, and takes it back.
    "FLT-NET-006": {**_REHASHED, "error_ratio": 0.02},
}


# By name: these modules lie above this one.
_DOOR = ("-m", "hotfire.lab.handles.door")
_SWITCH = ("-m", "hotfire.lab.handles.power_switch")


def document(topology: Topology, ports: Ports, home: Path) -> dict[str, Any]:
    """Return the target file; its fields are those of `hotfire.profile.TargetProfile`.

    Args:
        topology: Of the lab.
        ports: Its ways in from this machine.
        home: Its directory of state.
    """
    return {
        "name": "hotfire lab",
        "kubeconfig": "kubeconfig",
        # The lab is there to be broken: its gateway, its device plugins and its controllers, too.
        "allowed_namespaces": [
            *("hotfire-stack", "kube-system"),
            *sorted({each["namespace"] for each in _COMPONENTS.values()}),
        ],
        "components": _COMPONENTS,
        "control_plane": {
            "agents": {
                member.name: [sys.executable, *_DOOR, str(home), member.name]
                for member in topology.members
            },
            "racks": {member.name: member.rack for member in topology.members},
        },
        "power": {
            "cut": [sys.executable, *_SWITCH, str(home), "cut"],
            "restore": [sys.executable, *_SWITCH, str(home), "restore"],
        },
        "gateway": {
            "url": f"http://{GATEWAY_ADDRESS}",
            "host_url": f"http://127.0.0.1:{ports.gateway}",
            "network_namespace": topology.client.network_namespace,
            "class_name": "envoy",
        },
        # The limit is that of overlays/lab.
        "engine": {"model": "tiny", "context_tokens": 2048},
        "accelerator": {"memory": "host-cgroup"},
        "stack": {"deploy": True, "overlay": "lab"},
        "claims": [*_CLAIMS, *_redundant(topology), *_by_claim(topology), *_alerting(topology)],
        "budgets": "lab",
        "load": _LOAD,
        "measurement": MEASUREMENT,
        "fault_budgets": _FAULT_BUDGETS,
        # The agent fills a gigabyte of memory with a quarter of a shared core.
        "waits": {"injection_seconds": 60.0},
        "fabric": {
            "uplinks": [link.uplink for link in topology.links_of(topology.client)],
            "routing": "bird",
        },
        "alerts": _alerts(topology),
        "prometheus_url": f"http://127.0.0.1:{ports.prometheus}",
    }


def _by_claim(topology: Topology) -> list[str]:
    return ["device-taint-rules"] if topology.by_claim else []


def _alerts(topology: Topology) -> dict[str, str]:
    """Return those whose fault a check fires within a minute."""
    return {"UplinkDown": "FLT-NET-002"} if topology.uplinks > 1 else {}


def _alerting(topology: Topology) -> list[str]:
    return ["alerts"] if _alerts(topology) else []


def _redundant(topology: Topology) -> list[str]:
    many = {"uplinks": topology.uplinks, "control-plane": len(topology.members)}
    return [f"redundant-{part}" for part, count in many.items() if count > 1]
