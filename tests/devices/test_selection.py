"""Checks that fill a GPU run only where somebody asks for them."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("words", "asked"), [([], False), (["-m", "not lab"], False), (["-m", "device"], True)]
)
def test_device_checks_are_collected_only_by_their_marker(words: list[str], asked: bool) -> None:
    collect = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words, str(HERE)]

    done = subprocess.run([sys.executable, *collect], capture_output=True, text=True, check=False)

    assert "deselected" in done.stdout
    assert ("test_gpu_hog.py" in done.stdout) is asked
