"""The program of a control leaves no moment out, whatever the engine does that it asks."""

import json
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise

import pytest

from fixtures.beside import PROGRAM, Look
from tests.engine_process import running_engine
from tests.ports import free_port


def looks_at(port: int, *, seconds: float) -> list[Look]:
    argv = [sys.executable, "-c", PROGRAM, f"127.0.0.1:{port}", "tiny"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.terminate()
        said, _ = process.communicate()
    return [Look(*json.loads(line)) for line in said.splitlines() if line.endswith("]")]


@pytest.mark.parametrize(("ttft_seconds", "on_time"), [("0.01", True), ("1.2", False)])
def test_a_control_is_late_when_its_engine_is(ttft_seconds: str, on_time: bool) -> None:
    with running_engine("--ttft-seconds", ttft_seconds) as engine:
        looks = looks_at(engine.port, seconds=3.5)

    assert len(looks) >= 2
    # The first begins with the program itself.
    assert {each.on_time for each in looks[1:]} == {on_time}
    assert all(one.ended_ns == next_.began_ns for one, next_ in pairwise(looks))


def test_a_control_that_is_refused_at_once_is_on_time() -> None:
    looks = looks_at(free_port(), seconds=1.5)

    assert looks
    assert all(each.on_time for each in looks)
