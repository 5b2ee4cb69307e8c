"""Chaos Toolkit can call the control, by the very code it calls controls with."""

from pathlib import Path

import pytest
from chaoslib.control.python import apply_python_control

from hotfire.chaos.armed import VARIABLE
from hotfire.experiment import control
from hotfire.verdict import Verdict

CONTROL = {"name": "arm", "provider": {"type": "python", "module": "hotfire.experiment.control"}}


@pytest.mark.parametrize("level", ["experiment-before", "experiment-after"])
def test_hooks_take_what_chaos_toolkit_hands_them(
    level: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "armed.json"))  # A driver has armed: nothing to do.

    apply_python_control(
        level=level, control=CONTROL, experiment={}, context={}, state={"status": "completed"}
    )


@pytest.mark.parametrize(
    ("verdict", "status", "deviated"),
    [
        (Verdict.PASSED, "completed", False),
        (Verdict.FAILED, "failed", True),
        (Verdict.INCONCLUSIVE, "failed", False),
    ],
)
def test_chaos_toolkits_status_follows_the_verdict(
    verdict: Verdict, status: str, deviated: bool
) -> None:
    state = {"status": "completed", "deviated": False}

    control.follow(verdict, state)

    assert state == {"status": status, "deviated": deviated}
