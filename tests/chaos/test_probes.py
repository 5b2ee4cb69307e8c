"""What a fault's proof takes from the word of the process on the node."""

import pytest

from hotfire.chaos.agent_answers import Observed
from hotfire.chaos.sightings.memory_ran_out import device_is_full
from hotfire.errors import FaultNotInjected

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("free_bytes", "full"),
    [(None, False), (65 * MEBIBYTE, False), (64 * MEBIBYTE, True), (0, True)],
)
def test_gpu_is_full_when_next_to_nothing_is_free(free_bytes: int | None, full: bool) -> None:
    assert device_is_full(Observed(free_bytes=free_bytes)) is full


def test_ended_hog_fills_nothing_and_its_last_word_is_the_reason() -> None:
    refused = "cuDevicePrimaryCtxRetain: out of memory (CUDA error 2)"

    with pytest.raises(FaultNotInjected, match="PrimaryCtxRetain: out of memory"):
        device_is_full(Observed(exit_code=1, said=refused))


def test_killed_hog_proves_nothing_by_what_it_said_before() -> None:
    with pytest.raises(FaultNotInjected, match="killed"):
        device_is_full(Observed(free_bytes=0, exit_code=-9))
