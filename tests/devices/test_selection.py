"""Checks that fill a GPU run only where somebody asks for them."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("words", "asked"), [([], False), (["-m", "not lab"], False), (["-m", "device"], True)]
)
def test_device_checks_are_collected_only_by_their_marker(
    words: list[str], asked: bool, pytester: pytest.Pytester
) -> None:
    collect = ["--collect-only", "-q", "-p", "no:cacheprovider", *words, str(HERE)]

    told = pytester.runpytest_inprocess(*collect).stdout.str()

    assert "deselected" in told
    assert ("test_gpu_hog.py" in told) is asked
