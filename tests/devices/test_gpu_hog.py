"""Filling a real GPU: `nvidia-smi` must see it, others must be refused, the undo must free it."""

import os
import signal
from typing import Any

import pytest

from hotfire.waiting import pause, until
from tests.agent.world import Agent
from tests.devices.victim import GIBIBYTE, bare
from tests.devices.witness import NEARLY_MEBIBYTES, Gpu, apps

pytestmark = pytest.mark.device
MEBIBYTE = 1 << 20
# What the hog's own context may need beside what it takes.
CONTEXT_MEBIBYTES = 1024


def fill(agent: Agent, gpu: Gpu, *, ttl_seconds: float = 60) -> Any:  # noqa: ANN401
    """Fire the hog and return its entry once `nvidia-smi` says that the GPU is full."""
    agent.call("device.hog", id="u-1", ttl_seconds=ttl_seconds, uuid=gpu.uuid)
    gpu.await_full()
    until(lambda: "free_bytes" in observed(agent), within_seconds=5, what="the hog's own word")
    return agent.call("entry", id="u-1")


def observed(agent: Agent) -> Any:  # noqa: ANN401
    return agent.call("entry", id="u-1")["observed"]


def state(agent: Agent) -> str:
    return str(agent.call("entry", id="u-1")["state"])


def test_hog_says_of_the_full_gpu_what_nvidia_smi_says(
    agent: Agent, gpu: Gpu, free_before: int
) -> None:
    told = fill(agent, gpu)["observed"]

    taken_mebibytes = told["taken_bytes"] / MEBIBYTE
    assert free_before - CONTEXT_MEBIBYTES < taken_mebibytes < free_before
    assert abs(told["free_bytes"] / MEBIBYTE - gpu.free_mebibytes()) < NEARLY_MEBIBYTES
    assert told["free_bytes"] < NEARLY_MEBIBYTES * MEBIBYTE


def test_nvidia_smi_lists_the_hog_as_the_holder(agent: Agent, gpu: Gpu, free_before: int) -> None:
    told = fill(agent, gpu)["observed"]

    holders = apps()

    if told["pid"] not in holders:
        pytest.skip(f"nvidia-smi does not tell of this process namespace: {holders}")
    assert holders[told["pid"]] > free_before - NEARLY_MEBIBYTES


def test_undo_answers_only_once_the_memory_is_free(
    agent: Agent, gpu: Gpu, free_before: int
) -> None:
    fill(agent, gpu)

    answer = agent.call("heal", id="u-1")

    assert gpu.is_free(free_before)
    assert answer == {"problems": []}
    assert state(agent) == "healed"


def test_hog_takes_what_another_program_gives_back(
    agent: Agent, gpu: Gpu, free_before: int
) -> None:
    with bare() as neighbour:
        neighbour.said()
        assert neighbour.take(4 * GIBIBYTE) == "taken"
        before = fill(agent, gpu)["observed"]["taken_bytes"]

    until(
        lambda: observed(agent)["taken_bytes"] >= before + 4 * GIBIBYTE,
        within_seconds=10,
        what="the neighbour's memory taken too",
    )

    assert gpu.is_full()


def test_lease_that_nobody_renews_frees_the_memory(
    agent: Agent, gpu: Gpu, free_before: int
) -> None:
    fill(agent, gpu, ttl_seconds=20)
    agent.call("renew", id="u-1", ttl_seconds=1)

    until(lambda: state(agent) == "healed", within_seconds=10, what="the lease's end")

    assert gpu.is_free(free_before)
    assert observed(agent)["healed_because"] == "expired"


def test_renewed_lease_keeps_the_memory(agent: Agent, gpu: Gpu) -> None:
    fill(agent, gpu, ttl_seconds=20)
    agent.call("renew", id="u-1", ttl_seconds=1)
    agent.call("renew", id="u-1", ttl_seconds=30)

    pause(2, why="the first lease would be over by then")

    assert state(agent) == "injected"
    assert gpu.is_full()


def test_hog_dies_with_an_agent_that_is_killed(agent: Agent, gpu: Gpu, free_before: int) -> None:
    fill(agent, gpu)

    agent.end(signal.SIGKILL)

    assert gpu.is_free_within(free_before, seconds=10)


def test_next_agent_says_healed_only_once_the_memory_is_free(
    agent: Agent, gpu: Gpu, free_before: int
) -> None:
    fill(agent, gpu)
    agent.end(signal.SIGKILL)

    agent.start()

    # It answers no call before it has healed or reported what the former one left.
    assert agent.call("ping") == {"open": 0}
    assert gpu.is_free(free_before)


def test_hog_that_is_killed_leaves_nothing(agent: Agent, gpu: Gpu, free_before: int) -> None:
    pid = fill(agent, gpu)["observed"]["pid"]

    os.kill(pid, signal.SIGKILL)
    until(lambda: state(agent) == "healed", within_seconds=10, what="the agent noticed")

    assert observed(agent)["exit_code"] == -signal.SIGKILL
    assert gpu.is_free(free_before)


def test_agent_that_is_told_to_leave_frees_the_memory(
    agent: Agent, gpu: Gpu, free_before: int
) -> None:
    fill(agent, gpu)

    agent.end(signal.SIGTERM)

    assert gpu.is_free(free_before)
