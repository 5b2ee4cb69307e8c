"""Cutting an uplink silently, and every way in which the cut must end."""

import signal
from typing import Any

from hotfire.waiting import until
from tests.agent.world import LINK, Agent, Node


def healed(agent: Agent, id_: str) -> Any:  # noqa: ANN401 - the entry, once it is healed
    entry = agent.call("entry", id=id_)
    return entry if entry["state"] == "healed" else None


def cut(agent: Agent, id_: str = "u-1", *, ttl_seconds: float = 60) -> Any:  # noqa: ANN401
    return agent.call("link.silent_loss", id=id_, link=LINK, ttl_seconds=ttl_seconds)


def test_silent_loss_is_proven_by_drops_carrier_and_bfd(agent: Agent) -> None:
    agent.await_bfd("Up")

    entry = cut(agent)
    agent.await_bfd("Down")

    state = agent.call("link.state", link=LINK)
    assert entry["state"] == "injected"
    assert state["carrier"] is True
    assert state["drops"]["ingress"] > 0
    assert state["drops"]["egress"] > 0


def test_heal_brings_the_link_back_and_is_safe_to_repeat(agent: Agent, node: Node) -> None:
    agent.await_bfd("Up")
    cut(agent)
    agent.await_bfd("Down")

    replies = [agent.call("heal", id="u-1") for _ in range(2)]

    agent.await_bfd("Up")
    assert replies == [{"problems": []}, {"problems": []}]
    assert "hotfire" not in node.tables()


def test_the_agent_heals_by_itself_when_the_lease_ends(agent: Agent, node: Node) -> None:
    cut(agent, ttl_seconds=1.0)

    entry = until(lambda: healed(agent, "u-1"), within_seconds=90, what="the cut healed")

    assert entry["observed"]["healed_because"] == "expired"
    assert "hotfire" not in node.tables()


def test_renewing_keeps_the_fault_alive_beyond_its_first_lease(agent: Agent, node: Node) -> None:
    first = cut(agent, ttl_seconds=5.0)
    agent.call("renew", id="u-1", ttl_seconds=60)

    # Armed later for as long: once it is healed, the first lease of the cut is over as well.
    other = agent.call("net.block", id="u-2", ttl_seconds=5.0, **{"and": ["10.99.0.2"]})
    until(lambda: healed(agent, "u-2"), within_seconds=90, what="what was not renewed healed")

    assert other["expires_at"] >= first["expires_at"]
    assert agent.call("entry", id="u-1")["state"] == "injected"
    assert "hotfire_u_1" in node.tables()


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
