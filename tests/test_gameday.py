"""A fault is fired by a person who saw what it would hit, and ended by a key."""

import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from hotfire import cli
from hotfire.chaos.plan import Plan
from hotfire.cli.gameday import Console, ahead
from hotfire.cli.keys import Keys
from hotfire.cli.progress import Progress
from hotfire.errors import HarnessError
from hotfire.experiment import Experiment
from hotfire.experiment.gate import READY, await_go, give_go
from hotfire.measure.history import Request
from hotfire.rundir import Event, RunDirectory
from tests.chaos.platform import profile_for, run_directory
from tests.experiment.test_trial import KILL, Stand
from tests.experiment.test_trial import stand as stand  # noqa: PLC0414 - a fixture


class Pressed(Keys):
    """Keys that a test presses."""

    def __init__(self, *keys: str) -> None:
        self._keys = list(keys)

    @property
    def there(self) -> bool:
        return True

    def pressed(self) -> str:
        return self._keys.pop(0) if self._keys else ""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return run_directory(tmp_path)


def ready() -> Event:
    data: dict[str, object] = {
        "statement": "Killing one engine costs a moment", "hits": ["pod a/b (uid 1)"],
        "by": ["pod-kill"], "for_seconds": 0.0, "radius": ["size: 1 of at most 1"],
        "repaired_by": "target", "over_when": "pod-replaced", "may_cost": {"error_ratio": 0.01},
    }  # fmt: skip
    return Event(at_ns=1, kind="phase", what=READY, source="x", experiment="FLT-POD-001", data=data)


def looking(run: RunDirectory, console: Console, times: int = 1) -> str:
    screen = RichConsole(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    progress = Progress(run, screen)
    for _ in range(times):
        console.look(run, progress, progress.look())
    return screen.export_text()


def test_what_is_ahead_is_told_before_anything_is_fired(run: RunDirectory) -> None:
    run.append_event(ready())

    told = looking(run, Console(Pressed(), yes=False))

    for words in ("hits     pod a/b (uid 1)", "by       pod-kill", "may cost error_ratio 0.01"):
        assert words in told
    assert "Enter fires it" in told
    assert not run.path("journals/go").exists()


def test_enter_fires_and_only_once_it_was_shown(run: RunDirectory) -> None:
    console = Console(Pressed("\n", "", "\n"), yes=False)
    looking(run, console)
    assert not run.path("journals/go").exists()

    run.append_event(ready())
    looking(run, console, 2)

    assert run.path("journals/go").exists()


def test_yes_needs_no_key(run: RunDirectory) -> None:
    run.append_event(ready())

    looking(run, Console(Pressed(), yes=True))

    assert run.path("journals/go").exists()


def test_q_ends_the_run(run: RunDirectory) -> None:
    with pytest.raises(KeyboardInterrupt):
        looking(run, Console(Pressed("q"), yes=False))


def test_nobody_who_could_press_a_key_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gameday", "FLT-POD-001"]) == cli.BAD_ARGUMENTS
    assert "--yes fires without asking" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "complaint"),
    [("FLT-POD-999", "no requirement or area"), ("pods", "pods is an area; name one fault of it")],
)
def test_a_word_that_is_no_fault_is_refused(
    word: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["gameday", word, "--yes"]) == cli.BAD_ARGUMENTS
    assert complaint in capsys.readouterr().err


# Keys of a real terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


def test_keys_come_without_enter_and_without_waiting(terminal: int) -> None:
    with Keys() as keys:
        assert keys.pressed() == ""
        os.write(terminal, b"q")
        assert keys.pressed() == "q"


# The run that waits


class Load:
    """A load that does nothing."""

    def __init__(self, *, dies: bool = False) -> None:
        self.log, self._dies = Path("x.log"), dies

    def wait_started(self) -> None:
        return

    def alive(self) -> bool:
        return not self._dies

    def rows(self) -> list[Request]:
        return []

    def stop(self) -> None:
        return


def test_nothing_is_armed_while_somebody_thinks(stand: Stand) -> None:
    experiment = Experiment.load(KILL)
    trial = stand.trial()
    give_go(stand.run)

    await_go(stand.run, stand.profile, experiment, trial.plan, [], Load())

    [told] = [one for one in stand.run.events() if one.what == READY]
    assert told.data["hits"] == [str(target) for target in trial.plan.targets]
    assert told.data["by"] == ["pod-kill"]
    assert not stand.run.undo_path.exists()
    assert next(ahead(told)) == f"FLT-POD-001: {experiment.title}"
    # The word was for this fault and for no other one.
    assert not stand.run.path("journals/go").exists()


def test_a_load_that_ended_waits_for_nobody(tmp_path: Path, run: RunDirectory) -> None:
    profile = profile_for(tmp_path, "http://127.0.0.1:1")
    experiment = Experiment.load(KILL)
    with pytest.raises(HarnessError, match="the load process ended"):
        await_go(run, profile, experiment, Plan(experiment="x", targets=()), [], Load(dies=True))
