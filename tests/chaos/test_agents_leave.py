"""Agents go when their nodes are healed; a node that has left the cluster keeps none of them."""

import pytest

from hotfire.chaos.agent_pods import LABELS
from hotfire.chaos.plan import World
from hotfire.errors import HarnessError
from tests.chaos.platform import SYSTEM, Platform
from tests.chaos.scripted_agent import ScriptedAgent


def agents_on(platform: Platform, *nodes: str) -> None:
    for node in nodes:
        metadata = {"name": f"hotfire-agent-{node}", "namespace": SYSTEM, "labels": dict(LABELS)}
        platform.api.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": {"nodeName": node},
                "status": {"phase": "Running"},
            }
        )


def test_node_that_cannot_be_healed_keeps_the_agents(world: World, platform: Platform) -> None:
    platform.api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    agents_on(platform, "n1")

    with pytest.raises(HarnessError, match="agents stay, since nodes are not healed"):
        ScriptedAgent(world, {}).remove()


def test_node_that_left_the_cluster_keeps_nobody(world: World, platform: Platform) -> None:
    agents_on(platform, "left")
    agent = ScriptedAgent(world, {})
    waits = world.profile.waits.model_copy(update={"pod_gone_seconds": 0.3})
    agent._profile = world.profile.model_copy(update={"waits": waits})

    # Only its pod is still listed, until the cluster has noticed as well.
    with pytest.raises(HarnessError, match="no agent pods"):
        agent.remove()
