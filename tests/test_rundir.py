"""A run directory keeps what was written, also when the writer died in the middle of a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.errors import HistoryError, ProfileError
from hotfire.requirement import Level
from hotfire.rundir import Event, Result, RunDirectory, RunInfo, file_name
from hotfire.verdict import Conformance, Verdict


def info() -> RunInfo:
    return RunInfo.begin(command=("hotfire", "certify"), target_name="acme", tool_version="0.1.0")


def result(case: str = "test_one") -> Result:
    return Result(
        id="API-003",
        level=Level.MUST,
        statement="A stream ends.",
        rationale="Else clients hang.",
        source="https://x",
        kind="check",
        area="api",
        case=case,
        nodeid=f"suites/api/test_x.py::{case}",
        verdict=Verdict.PASSED,
        reason="as stated",
        figures={"ttft_seconds": float("inf"), "n": 3, "ok": True},
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", info())


def test_latest_points_at_the_newest_run(run: RunDirectory) -> None:
    second = RunDirectory.create(run.root.parent, info())

    assert second.root != run.root
    assert (run.root.parent / "latest").resolve() == second.root.resolve()


def test_runs_that_begin_in_the_same_second_have_names_of_their_own() -> None:
    assert len({info().run_id for _ in range(50)}) == 50


def test_of_two_runs_of_one_directory_one_is_refused(tmp_path: Path) -> None:
    first = RunDirectory.create_at(tmp_path / "run", info())
    before = first.info()

    with pytest.raises(ProfileError, match="holds a run already"):
        RunDirectory.create_at(tmp_path / "run", info())

    assert first.info() == before


def test_results_come_back_as_written(run: RunDirectory) -> None:
    run.append_result(result("test_one"))
    run.append_result(result("test_two"))

    assert run.results() == [result("test_one"), result("test_two")]


def test_torn_last_line_is_left_out(run: RunDirectory) -> None:
    run.append_result(result())
    with run.path("results.jsonl").open("a") as file:
        file.write('{"schema_version": 1, "id": "API-0')

    assert run.results() == [result()]


def test_torn_line_in_the_middle_is_an_error(run: RunDirectory) -> None:
    run.path("results.jsonl").write_text('{"torn\n')
    run.append_result(result())

    with pytest.raises(HistoryError, match=r"results.jsonl:1 is not a Result"):
        run.results()


def test_an_event_that_the_disk_takes_in_part_is_not_taken_for_written(run: RunDirectory) -> None:
    event = Event(at_ns=1, kind="phase", what="x" * 100, source="test")
    program = f"""
import pathlib, resource, signal, sys
from hotfire.rundir import Event, RunDirectory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
RunDirectory(pathlib.Path({str(run.root)!r})).append_event(
    Event.model_validate_json({event.model_dump_json()!r})
)
"""

    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert "OSError" in done.stderr
    assert run.events() == []


def test_events_are_ordered_by_time(run: RunDirectory) -> None:
    for at_ns in (30, 10, 20):
        run.append_event(Event(at_ns=at_ns, kind="fault", what="armed", source="test"))

    assert [event.at_ns for event in run.events()] == [10, 20, 30]


def test_update_changes_the_named_fields_only(run: RunDirectory) -> None:
    before = run.info()

    run.update_info(conformance=Conformance.CONFORMANT, notes=("partial",))

    after = RunDirectory.open(run.root).info()
    assert after == before.model_copy(
        update={"conformance": Conformance.CONFORMANT, "notes": ("partial",)}
    )


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="holds no run"):
        RunDirectory.open(tmp_path)


def test_run_of_another_schema_is_refused(run: RunDirectory) -> None:
    text = run.path("run.json").read_text()
    run.path("run.json").write_text(text.replace('"schema_version": 1', '"schema_version": 2'))

    with pytest.raises(HistoryError, match="schema version 1"):
        RunDirectory.open(run.root)


def test_replaced_results_keep_the_former_ones_beside_them(run: RunDirectory) -> None:
    run.append_result(result())

    run.replace_results([result("test_again")])

    assert run.results() == [result("test_again")]
    assert "test_one" in run.path("results.before-judge.jsonl").read_text()


@pytest.mark.parametrize("case", ["test_x[a/b c]", "..", "", "test_ü[%2e]"])
def test_case_name_becomes_one_path_component(case: str) -> None:
    name = file_name(case)

    assert name
    assert Path(name).name == name
    assert not set(name) & set("/ %[]")


def test_result_gives_back_its_requirement() -> None:
    claim = result().requirement

    assert (claim.id, claim.level, claim.statement) == ("API-003", Level.MUST, "A stream ends.")


def test_a_link_out_of_a_foreign_run_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    run.path("load.json").symlink_to(tmp_path / "mine")

    with pytest.raises(HistoryError, match=r"load.json is a link that leads out of the run"):
        RunDirectory.open_foreign(run.root)


def test_a_pipe_in_a_foreign_run_is_refused_and_not_waited_for(run: RunDirectory) -> None:
    os.mkfifo(run.history_path("load"))

    with pytest.raises(HistoryError, match=r"load.jsonl is no file and no folder"):
        RunDirectory.open_foreign(run.root)


def test_a_document_larger_than_any_run_leaves_is_refused(run: RunDirectory) -> None:
    with run.path("load.json").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(HistoryError, match="larger than any run leaves it"):
        RunDirectory.open_foreign(run.root)


def test_a_link_where_a_file_is_written_is_replaced_and_what_it_names_is_kept(
    run: RunDirectory, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("precious")
    run.path("report.html").symlink_to(tmp_path / "mine")

    run.write_text("report.html", "page")

    assert (tmp_path / "mine").read_text() == "precious"
    assert run.path("report.html").read_text() == "page"


@pytest.mark.parametrize("text", ["{}", "[1]", "[" * 99_999, "\xff"])
def test_a_plan_of_another_shape_is_told(text: str, run: RunDirectory) -> None:
    run.path("plan.json").write_text(text, encoding="latin-1")

    with pytest.raises(HistoryError, match="no list of cases"):
        run.planned()
