"""Reports of runs from elsewhere: what is whole is used, the rest is told in one line."""

import json
import xml.dom.minidom
from pathlib import Path

import pytest

from hotfire import cli
from hotfire.measure.history import to_parquet, to_row
from hotfire.rundir import RunDirectory, RunInfo
from tests.sample_run import requests

EVIL = "a\x1b]0;t\x07\u202e<img src=x>[x](javascript:1)|`*b*"


def run_of(tmp_path: Path, name: str = "acme") -> RunDirectory:
    info = RunInfo.begin(command=("hotfire", "load"), target_name=name, tool_version="0")
    run = RunDirectory.create_at(tmp_path / "run", info)
    lines = run.history_path("load")
    lines.write_text("".join(json.dumps(to_row(row)) + "\n" for row in requests()))
    to_parquet(lines, lines.with_suffix(".parquet"))
    return run


def reported(run: RunDirectory, formats: str = "html,json,junit,markdown") -> int:
    return cli.run(["report", str(run.root), "--format", formats])


def test_lines_stand_in_for_a_parquet_that_was_cut_off(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    parquet = run.path("history/load.parquet")
    parquet.write_bytes(parquet.read_bytes()[:-40])

    assert reported(run) == 0
    loads = json.loads(run.path("report.json").read_text())["loads"]
    assert [load["name"] for load in loads] == ["load"]
    assert loads[0]["figures"]["requests_scheduled"] == len(requests())


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("history/load.plan.json", '{"x": 1}'),
        ("history/load.plan.json", '{"process": 1, "rate_per_second": "x"}'),
        ("history/load.crosscheck.json", '{"x": 1}'),
        ("history/load.instrument.json", '{"gates": "abc", "measured": [1]}'),
        ("history/load.instrument.json", "[" * 99_999),
        ("load.json", '{"history": "history/load.jsonl", "vllm_bench": [{"x": 1}, 2]}'),
    ],
)
def test_a_record_of_another_shape_is_left_out(file: str, text: str, tmp_path: Path) -> None:
    run = run_of(tmp_path)
    run.path(file).write_text(text)

    assert reported(run) == 0


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("history/load.jsonl", "[1]\n"),
        ("history/load.jsonl", "[" * 99_999 + "\n"),
        ("history/load.jsonl", '{"seq": "a", "sched_ns": "b"}\n'),
        ("history/load.jsonl", '{"seq": 1, "sched_ns": 99999999999999999999}\n'),
        ("results.jsonl", '{"id": "../../x"}\n\n'),
        ("timeline.jsonl", '{"at_ns": -1}\n\n'),
    ],
)
def test_what_cannot_be_left_out_is_told_in_one_line(
    file: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path)
    run.path("history/load.parquet").unlink()
    run.path(file).write_text(text)

    assert reported(run) == cli.BAD_ARGUMENTS
    told = capsys.readouterr().err
    assert told.startswith(f"hotfire: {run.root}")
    assert len(told.splitlines()) == 1


def test_stamps_years_apart_are_drawn_all_the_same(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    run.path("history/load.parquet").unlink()
    rows = [{"seq": n, "sched_ns": n * 10**17, "end_ns": n * 10**17} for n in range(1, 4)]
    run.path("history/load.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert reported(run) == 0
    assert run.path("report.html").stat().st_size < 20_000_000


def test_words_of_others_are_words_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, EVIL)

    assert reported(run) == 0
    texts = {name: run.path(f"report{name}").read_text() for name in (".html", ".json", ".md")}
    junit = xml.dom.minidom.parse(str(run.path("report.junit.xml")))  # noqa: S318 - our own
    assert not {"\x1b", "\x07", "\u202e"} & set("".join(texts.values()) + capsys.readouterr().out)
    assert "<img src=x>" not in texts[".html"] + texts[".md"]
    assert "\\[x\\](javascript:1)\\|\\`\\*b\\*" in texts[".md"]
    assert "\\u001b]0;t" in junit.getElementsByTagName("testsuites")[0].getAttribute("name")
