"""Cutting an uplink silently, and every way in which the cut must end."""

import signal
from typing import Any

from hotfire.waiting import until
from tests.agent.world import LINK, Agent, Node


def bfd(agent: Agent) -> list[str]:
    return [one["state"] for one in agent.call("link.state", link=LINK)["bfd"]]


def await_bfd(agent: Agent, state: str) -> None:
    until(lambda: bfd(agent) == [state], within_seconds=10, what=f"BFD {state}")


def cut(agent: Agent, id_: str = "u-1", *, ttl_seconds: float = 60) -> Any:  # noqa: ANN401
    return agent.call("link.silent_loss", id=id_, link=LINK, ttl_seconds=ttl_seconds)


def test_silent_loss_is_proven_by_drops_carrier_and_bfd(agent: Agent) -> None:
    await_bfd(agent, "Up")

    entry = cut(agent)
    await_bfd(agent, "Down")

    state = agent.call("link.state", link=LINK)
    assert entry["state"] == "injected"
    assert state["carrier"] is True
    assert state["drops"]["ingress"] > 0
    assert state["drops"]["egress"] > 0


def test_heal_brings_the_link_back_and_is_safe_to_repeat(agent: Agent, node: Node) -> None:
    await_bfd(agent, "Up")
    cut(agent)
    await_bfd(agent, "Down")

    replies = [agent.call("heal", id="u-1") for _ in range(2)]

    await_bfd(agent, "Up")
    assert replies == [{"problems": []}, {"problems": []}]
    assert "hotfire" not in node.tables()


def test_the_agent_heals_by_itself_when_the_lease_ends(agent: Agent, node: Node) -> None:
    cut(agent, ttl_seconds=1.0)

    until(lambda: "hotfire" not in node.tables(), within_seconds=5, what="no table of ours")

    entry = agent.call("entry", id="u-1")
    assert (entry["state"], entry["observed"]["healed_because"]) == ("healed", "expired")


def test_renewing_keeps_the_fault_alive_beyond_its_first_lease(agent: Agent, node: Node) -> None:
    cut(agent, ttl_seconds=1.0)

    before = agent.call("entry", id="u-1")["expires_at"]
    after = agent.call("renew", id="u-1", ttl_seconds=60)["expires_at"]

    assert after - before > 50
    assert "hotfire" in node.tables()


def test_a_killed_agent_heals_at_its_next_start(agent: Agent, node: Node) -> None:
    cut(agent)
    agent.end(signal.SIGKILL)
    assert "hotfire" in node.tables()

    agent.start()

    assert "hotfire" not in node.tables()


def test_an_agent_that_is_told_to_leave_heals_first(agent: Agent, node: Node) -> None:
    cut(agent)

    agent.end(signal.SIGTERM)

    assert "hotfire" not in node.tables()


def test_a_second_cut_on_one_node_is_refused(agent: Agent) -> None:
    cut(agent)

    reply = agent.reply("link.silent_loss", id="u-2", link=LINK, ttl_seconds=60)

    assert "isolates a node" in reply["error"]


def test_a_link_that_is_not_there_is_refused_and_leaves_no_entry(agent: Agent) -> None:
    reply = agent.reply("link.silent_loss", id="u-1", link="nope0", ttl_seconds=60)

    assert not reply["ok"]
    assert agent.call("list") == []
