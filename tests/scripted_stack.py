"""The scripted stack on the lab, deployed by somebody else than `hotfire`: it leaves it alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from fixtures.deployment import deploy, labelled, remove, render
from fixtures.stack import Stack
from hotfire.cluster import Cluster, Estate
from hotfire.lab.lab import Lab
from hotfire.lab.machine import api_policy
from hotfire.profile import TargetProfile
from tests.world import World

# Of the last line perhaps only half is written.
_AUDIT_ENDS = r"""
cd "$0" && { head -n1 "$(ls -tr audit*.log | head -n1)"; tail -n2 audit.log | head -n1; } |
    tr -d '\000' | sed 's/.*"requestReceivedTimestamp":"\([^"]*\)".*/\1/'
"""


def scripted(lab: Lab) -> dict[str, Any]:
    """Return the lab's target file for a stack of scripted engines that is there already."""
    document: dict[str, Any] = yaml.safe_load(lab.state.target.read_text())
    document["kubeconfig"] = str(lab.state.kubeconfig)
    document["stack"] = {"deploy": False, "overlay": "scripted"}
    # Scripted engines keep to a schema; whether the lab's own do has not been seen. The others are
    # brought along by the twins of the checks that ask for them.
    document["claims"] += [
        "structured-output",
        "network-policies",
        "overload-refusal",
        "gpu-sharing",
        "node-autoscaling",
        "promotion-gate",
        "autoscaling",
        "operator",
        "team-queues",
        "topology-aware-scheduling",
        "restartable-jobs",
        "declared-state",
        "request-logs",
        "authentication",
        "tenants",
        "tenant-limits",
        "engine-groups",
        "on-delete-updates",
        "tensor-parallel-shapes",
        "renewed-certificates",
        "log-retention",
        "workload-sandboxing",
        "etcd-backup",
    ]
    # Two engines that run 32 and let 8 wait.
    document["load"] = {"rate_per_second": 20.0, "max_tokens": 8, "most_at_once": 80}
    document["measurement"] |= {"slo_requests": 200, "soak_seconds": 60.0}
    document["waits"] |= {"node_added_seconds": 60.0, "node_removed_seconds": 60.0}
    document["waits"] |= {"drift_seconds": 15.0, "reclaim_seconds": 30.0}
    document["upkeep"] = {"logs": {"audit": {"ends": _audit_ends(lab), "kept_seconds": 30.0}}}
    return document


def _audit_ends(lab: Lab) -> list[str]:
    """Return what tells the ends of the first API server's audit log, from this machine."""
    [first, *_] = lab.topology().members
    return ["sh", "-c", _AUDIT_ENDS, str(lab.rack.inside(first.name, api_policy.AUDIT_DIRECTORY))]


@contextmanager
def standing(lab: Lab, target: Path) -> Iterator[World]:
    """Deploy the stack of a target file, and remove it afterwards."""
    profile = TargetProfile.read(target)
    cluster = Cluster.connect(profile)
    # Recorded elsewhere than what `hotfire` makes: its heal and its runs leave this stack alone.
    estate = Estate(cluster, "hotfire-tests", run_id="tests")
    estate.open()
    made = deploy(cluster, profile, estate, labelled(render(profile), "tests"))
    stack = Stack(cluster, profile)
    stack.wait_ready()
    yield World(cluster=cluster, profile=profile, stack=stack, rack=lab.rack, target=target)
    remove(cluster, profile, estate, made)
    estate.close()
