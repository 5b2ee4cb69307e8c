"""What LIF-002 asks of a newcomer, and of an engine beside it, in one program."""

import json
import subprocess
import sys
from typing import Any

from suites.lifecycle.test_ready_pods_answer import ASK
from tests.engine_process import EngineProcess, running_engine
from tests.ports import free_port


def sampled(newcomer: int, untouched: EngineProcess) -> dict[str, Any]:
    addresses = (f"127.0.0.1:{newcomer}", f"127.0.0.1:{untouched.port}")
    done = subprocess.run(
        [sys.executable, "-c", ASK, "tiny", *addresses],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_slow_newcomer_is_told_from_a_control_that_is_on_time() -> None:
    with (
        running_engine("--ttft-seconds", "1.5") as newcomer,
        running_engine("--ttft-seconds", "0.01") as untouched,
    ):
        found = sampled(newcomer.port, untouched)

    assert (found["answer"], found["control"]) == ("answered", "answered")
    assert found["control_seconds"] < 1.0


def test_a_late_control_shows_however_quick_the_newcomer_is() -> None:
    with (
        running_engine("--ttft-seconds", "0.01") as newcomer,
        running_engine("--ttft-seconds", "1.5") as untouched,
    ):
        found = sampled(newcomer.port, untouched)

    assert found["answer"] == "answered"
    assert found["control_seconds"] > 1.0


def test_a_newcomer_that_is_not_there_is_told() -> None:
    with running_engine() as untouched:
        found = sampled(free_port(), untouched)

    assert "Refused" in found["answer"]
    assert found["control"] == "answered"
