"""Every file is read by one rule: UTF-8, lines that end at a line feed and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire import text_files
from hotfire.errors import HistoryError, ProfileError
from hotfire.experiment import Experiment
from hotfire.lab.shape.topology_file import read as read_topology
from hotfire.measure import history
from hotfire.measure.history import Request
from hotfire.profile import TargetProfile
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.prompts import Prompts

MARK = "\ufeff"
SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r"
TARGET = "name: t\ngateway: {url: 'http://g'}\nengine: {model: m}\nbudgets: lab\n"


@given(st.lists(st.text(st.sampled_from("ab{[" + SEPARATORS), min_size=1).map("x{}x".format)))
def test_only_a_line_feed_ends_a_line(texts: list[str]) -> None:
    joined = "\n".join(texts)

    assert [line for _, line in text_files.lines(joined)] == texts


def test_lines_keep_their_numbers_and_blank_ones_are_left_out() -> None:
    assert list(text_files.lines("a\r\n\r\n \nb")) == [(1, "a"), (4, "b")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named_with_its_remedy(encoding: str) -> None:
    with pytest.raises(ValueError, match="looks like UTF-16 or binary; save it as UTF-8"):
        text_files.decoded("hello".encode(encoding))


def test_a_byte_that_is_no_utf8_is_named_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"line 2 is not UTF-8 \(byte 0xe9\)"):
        text_files.decoded(b"a\ncaf\xe9\n")


def test_a_byte_order_mark_is_no_part_of_any_file(tmp_path: Path) -> None:
    def marked(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(MARK + text, encoding="utf-8")
        return path

    row = Request(seq=0, sched_ns=1, detail="a\u2028b")

    assert Prompts(file=marked("p", '{"prompt": "hi"}\nho\n')).read().texts == ("hi", "ho")
    assert TargetProfile.read(marked("t.yaml", TARGET)).name == "t"
    assert LoadPlan.read(marked("plan", '{"url": "http://g", "model": "m"}')).model == "m"
    assert read_topology(marked("lab.yaml", "nodes: 2"), {}).nodes == 2
    line = json.dumps(history.to_row(row), ensure_ascii=False)
    assert history.load(marked("h.jsonl", line + "\n")) == [row]


@pytest.mark.parametrize(
    "read",
    [TargetProfile.read, LoadPlan.read, Experiment.load],
    ids=["target", "plan", "experiment"],
)
def test_a_file_of_another_encoding_is_the_operators_to_mend(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    (tmp_path / "file").write_bytes("name: t\n".encode("utf-16"))

    with pytest.raises(ProfileError, match="save it as UTF-8"):
        read(tmp_path / "file")


@pytest.mark.parametrize("line", ["7", "null", "[1]", '"a"'])
def test_a_line_of_a_history_that_is_no_object_is_named(line: str) -> None:
    with pytest.raises(HistoryError, match="line 1 of the history is no JSON object"):
        history.parse_lines(line + "\n")
