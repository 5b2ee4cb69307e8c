"""What the check of virtual GPUs concludes from what a pod finds."""

import pytest

from suites.gpu.test_virtual_gpus_are_fractions import is_fraction, sizes


def test_the_memory_of_each_device_is_read() -> None:
    assert sizes("20480\n81559\n[Insufficient Permissions]\n") == [20480, 81559, 0]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([20480], True),
        ([19968], True),
        ([81559], False),
        ([20480, 20480], False),
        ([0], False),
        ([], False),
    ],
)
def test_one_device_with_the_declared_memory_is_a_fraction(
    found: list[float], expected: bool
) -> None:
    assert is_fraction(found, 20480) is expected
