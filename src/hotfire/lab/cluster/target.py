"""The lab's own target file: what the lab says about itself to the suites."""

from typing import Any

from hotfire.lab.shape.state import Ports
from hotfire.lab.shape.topology import GATEWAY_ADDRESS, Topology

RATE_PER_SECOND = 16.0
_LOAD = {"rate_per_second": RATE_PER_SECOND, "max_tokens": 12, "prompt_words": 24}
# Shorter than on GPUs, so that a whole certification fits into a quarter of an hour.
MEASUREMENT: dict[str, Any] = {
    "baseline_seconds": 60.0,
    "baseline_requests": 800,
    "window_seconds": 10.0,
    "window_requests": 100,
    "hold_seconds": 40.0,
    # The tiny model's first token takes 15 ms and each later one 3 ms.
    "band_floor_seconds": 0.02,
    "band_floor_tpot_seconds": 0.001,
}
_FAULT_BUDGETS = {
    # The gateway's address is anycast from every node: when a router loses a node, it hashes its
    # flows anew, and those that change their node are reset. Up to 30 % of the streams in flight at
    # that moment; everything after it must be as before.
    "FLT-NET-001": {
        "error_ratio": 0.01,
        "lost_streams": 4,
        "longest_stall_seconds": 1.0,
        # The width of a window: nothing shorter is told from noise on shared cores.
        "recovery_seconds": 10.0,
    }
}


def document(topology: Topology, ports: Ports) -> dict[str, Any]:
    """Return the target file; its fields are those of `hotfire.profile.TargetProfile`."""
    return {
        "name": "hotfire lab",
        "kubeconfig": "kubeconfig",
        "gateway": {
            "url": f"http://{GATEWAY_ADDRESS}",
            "host_url": f"http://127.0.0.1:{ports.gateway}",
            "network_namespace": topology.client.network_namespace,
            "class_name": "envoy",
        },
        "engine": {"model": "tiny"},
        "accelerator": {"memory": "host-cgroup"},
        "stack": {"deploy": True, "overlay": "lab"},
        # The lab is there to be broken: its gateway, its device plugins and its controllers, too.
        "allowed_namespaces": ["hotfire-stack", "envoy-gateway-system", "kube-system"],
        "claims": ["canary", "quotas", *(["redundant-uplinks"] if topology.uplinks > 1 else [])],
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
        "prometheus_url": f"http://127.0.0.1:{ports.prometheus}",
    }
