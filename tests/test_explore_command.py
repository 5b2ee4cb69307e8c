"""`hotfire explore` runs one file of its own, tells what is said, and where findings lie."""

import os
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from hotfire import cli
from hotfire.cli.certify import CertifyOptions, _arguments
from hotfire.cli.explore import Console
from hotfire.cli.progress import Progress
from hotfire.errors import ProfileError
from hotfire.experiment.exploring.order import FOUND, TOLD, Order
from hotfire.rundir import Event, RunDirectory
from tests.chaos.platform import run_directory

ORDER = Order(seed=7, minutes=2.5, faults=frozenset({"FLT-POD-001", "FLT-NET-001"}))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return run_directory(tmp_path)


def test_what_was_asked_for_is_kept_with_the_run(run: RunDirectory) -> None:
    ORDER.write(run)

    assert Order.read(run) == ORDER


def test_a_run_of_something_else_is_told_apart(run: RunDirectory) -> None:
    with pytest.raises(ProfileError, match="not begun by `hotfire explore`"):
        Order.read(run)


def test_the_run_s_command_can_be_typed_again(run: RunDirectory, tmp_path: Path) -> None:
    options = CertifyOptions(scope="full", explore=ORDER)
    arguments = _arguments(options, tmp_path / "target.yaml", run, tmp_path)

    assert options.command[:4] == ["hotfire", "explore", "--minutes", "2.5"]
    assert "FLT-NET-001,FLT-POD-001" in options.command
    assert arguments[0] == "experiments/explored.py"
    assert (Path(__file__).parents[1] / arguments[0]).exists()


def test_the_console_tells_what_the_search_says_and_what_it_found(run: RunDirectory) -> None:
    screen = RichConsole(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    said = Event(at_ns=1, kind="watch", what=TOLD, source="x", data={"words": "schedule 1: A"})
    console = Console()

    console.look(run, Progress(run, screen), [said])
    nothing = console.found()
    run.write_text(f"{FOUND}/flt-s7-001.yaml", "")

    assert "schedule 1: A" in screen.export_text()
    assert nothing == []
    assert console.found()[0].endswith("found/flt-s7-001.yaml")


def test_a_fault_that_nobody_knows_is_refused_before_anything_is_touched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = cli.run(["explore", "--faults", "FLT-POD-0001"])

    assert code == cli.BAD_ARGUMENTS
    assert "did you mean" in capsys.readouterr().err
