"""A link that flaps: the kernel counts each change, and it is up whatever ends the flapping."""

import signal
from typing import Any

import pytest

from hotfire.agent import flapper, processes
from hotfire.waiting import until
from tests.agent.world import LINK, Agent

RHYTHM = {"down_seconds": 0.2, "up_seconds": 0.2, "times": 3}
LONG = {"down_seconds": 60, "up_seconds": 60, "times": 3}


def state(agent: Agent) -> Any:  # noqa: ANN401 - JSON
    return agent.call("link.state", link=LINK)


def await_carrier(agent: Agent, *, carrier: bool) -> None:
    until(
        lambda: state(agent)["carrier"] is carrier,
        within_seconds=20,
        what=f"carrier {carrier} on {LINK}",
    )


def test_each_change_is_counted_and_the_link_is_up_at_the_end(inner: Agent) -> None:
    before = state(inner)["carrier_changes"]

    inner.call("link.flap", id="u-1", link=LINK, ttl_seconds=60, **RHYTHM)

    until(
        lambda: state(inner)["carrier_changes"] >= before + 6,
        within_seconds=20,
        what="three times down and up",
    )
    assert inner.call("heal", id="u-1") == {"problems": []}
    await_carrier(inner, carrier=True)


def test_healing_in_the_midst_of_it_sets_the_link_up(inner: Agent) -> None:
    inner.call("link.flap", id="u-1", link=LINK, ttl_seconds=60, **LONG)
    await_carrier(inner, carrier=False)

    inner.call("heal", id="u-1")

    await_carrier(inner, carrier=True)
    assert processes.of_entry(flapper.MODULE, "u-1") == []


def test_a_killed_agent_and_its_child_leave_a_link_that_the_next_one_sets_up(inner: Agent) -> None:
    inner.call("link.flap", id="u-1", link=LINK, ttl_seconds=60, **LONG)
    await_carrier(inner, carrier=False)
    processes.send(processes.of_entry(flapper.MODULE, "u-1"), signal.SIGKILL)
    inner.end(signal.SIGKILL)

    inner.start()

    await_carrier(inner, carrier=True)
    assert inner.call("ping")["open"] == 0


def test_flapping_counts_as_a_cut_of_the_node(inner: Agent) -> None:
    inner.call("link.flap", id="u-1", link=LINK, ttl_seconds=60, **LONG)

    reply = inner.reply("link.silent_loss", id="u-2", link=LINK, ttl_seconds=60)

    assert "isolates a node" in reply["error"]


@pytest.mark.parametrize("wrong", [{"times": 0}, {"down_seconds": 0}, {"up_seconds": 100}])
def test_a_rhythm_that_makes_no_sense_is_refused(inner: Agent, wrong: dict[str, float]) -> None:
    reply = inner.reply("link.flap", id="u-1", link=LINK, ttl_seconds=60, **{**RHYTHM, **wrong})

    assert reply["ok"] is False
    assert inner.call("list") == []
