"""What programs beside the hog see of it: out of memory, in words that the fault's proof knows."""

from importlib.util import find_spec

import pytest

from hotfire.agent.cuda import REFUSALS
from tests.agent.world import Agent
from tests.devices.test_gpu_hog import fill
from tests.devices.victim import GIBIBYTE, bare, by_torch, fresh, fresh_by_torch
from tests.devices.witness import Gpu

pytestmark = pytest.mark.device
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch here")


def known(said: str) -> bool:
    """Return whether the fault's proof takes these words for a refusal."""
    return any(words in said for words in REFUSALS)


def test_program_that_runs_already_is_refused_and_served_again_after_the_undo(
    agent: Agent, gpu: Gpu
) -> None:
    with bare() as victim:
        assert victim.said() == "ready"
        fill(agent, gpu)
        during = victim.take(GIBIBYTE)
        agent.call("heal", id="u-1")
        after = victim.take(GIBIBYTE)

    assert during == f"cuMemAlloc of {GIBIBYTE} bytes: out of memory (CUDA error 2)"
    assert after == "taken"


def test_program_that_starts_anew_gets_no_context(agent: Agent, gpu: Gpu) -> None:
    fill(agent, gpu)

    said = fresh()

    assert "cuDevicePrimaryCtxRetain: out of memory (CUDA error 2)" in said
    assert "ready" not in said


@needs_torch
def test_engine_on_torch_is_refused_in_words_that_the_proof_knows(agent: Agent, gpu: Gpu) -> None:
    with by_torch() as victim:
        assert victim.said() == "ready"
        assert victim.take(GIBIBYTE) == "taken"
        fill(agent, gpu)
        during = victim.take(GIBIBYTE)
        agent.call("heal", id="u-1")
        after = victim.take(GIBIBYTE)

    assert known(during), during
    assert after == "taken"


@needs_torch
def test_engine_on_torch_that_restarts_meanwhile_says_so_too(agent: Agent, gpu: Gpu) -> None:
    fill(agent, gpu)

    said = fresh_by_torch()

    assert known(said), said
