"""A trace is replayed in the unit and with the blocks that it was recorded in, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.errors import ProfileError
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.texts import Texts
from hotfire.traffic.workload.trace import Trace, read_trace

Row = dict[str, Any]


def row(**changes: object) -> Row:
    """Return a row of Mooncake's form."""
    return {"timestamp": 0, "input_length": 40, "output_length": 3} | changes


def chat(**changes: object) -> Row:
    """Return a row of Qwen-Bailian's form: seconds, blocks of 16."""
    more = {"chat_id": 7, "parent_chat_id": -1, "type": "text", "turn": 1, "hash_ids": [1, 2, 3]}
    return row(**(more | changes))


def written(folder: Path, *rows: Row, mark: str = "") -> Path:
    path = folder / "trace.jsonl"
    lines = [json.dumps(one, ensure_ascii=False) for one in rows]
    path.write_text(mark + "\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def seconds(found: Trace) -> list[float]:
    return [one.offset_ns / 1e9 for one in found.rows]


def test_a_chat_trace_is_in_seconds_and_blocks_of_sixteen(tmp_path: Path) -> None:
    path = written(tmp_path, chat(), chat(timestamp=61.114, hash_ids=[1, 2, 4]))

    found = read_trace(path)

    assert seconds(found) == [0.0, 61.114]
    assert found.block_tokens == 16


def test_whole_stamps_of_a_chat_trace_are_seconds_too(tmp_path: Path) -> None:
    assert seconds(read_trace(written(tmp_path, chat(), chat(timestamp=61)))) == [0, 61]


def test_whole_stamps_of_the_other_form_are_milliseconds(tmp_path: Path) -> None:
    found = read_trace(written(tmp_path, row(), row(timestamp=1500)))

    assert seconds(found) == [0, 1.5]
    assert found.block_tokens == 512


def test_a_fraction_without_a_known_form_is_asked_about(tmp_path: Path) -> None:
    path = written(tmp_path, row(), row(timestamp=1.5))

    with pytest.raises(ProfileError, match=r"jsonl:2: timestamp 1.5 .* --trace-unit s or ms"):
        read_trace(path)
    assert seconds(read_trace(path, unit="s")) == [0, 1.5]
    assert seconds(read_trace(path, unit="ms")) == [0, 0.0015]


def test_cells_of_a_table_are_asked_about_as_numbers_are(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("timestamp,input_length,output_length\n0,40,3\n1.5,40,3\n")

    with pytest.raises(ProfileError, match=r"csv:3: timestamp 1.5 has a fraction"):
        read_trace(path)
    assert seconds(read_trace(path, unit="s")) == [0, 1.5]


@given(st.sampled_from([16, 32, 64, 128, 512, 1024]), st.lists(st.integers(1, 9000), min_size=9))
def test_the_size_of_a_block_is_found_by_the_lengths(
    tmp_path_factory: pytest.TempPathFactory, size: int, lengths: list[int]
) -> None:
    rows = [row(input_length=n, hash_ids=list(range(-(-n // size)))) for n in [*lengths, 5 * size]]

    found = read_trace(written(tmp_path_factory.mktemp("trace"), *rows))

    assert found.block_tokens == size


def test_prompts_of_a_chat_trace_are_as_long_as_it_says(tmp_path: Path) -> None:
    path = written(tmp_path, chat(), chat(hash_ids=[1, 2, 9]))
    plan = LoadPlan(url="http://gateway", model="tiny", process="trace", trace=path)

    first, second = (Texts(plan).prompt(number).split() for number in range(2))

    assert (len(first), len(second)) == (40, 40)
    assert first[:32] == second[:32]
    assert first[32:] != second[32:]


def test_blocks_that_contradict_the_lengths_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, chat(), chat(hash_ids=[1, 2, 3, 4, 5, 6, 7]))

    with pytest.raises(ProfileError, match=r"jsonl:2: 7 hash_ids for 40 .*--trace-block TOKENS"):
        read_trace(path)


def test_a_size_that_was_asked_for_is_held_against_the_lengths(tmp_path: Path) -> None:
    path = written(tmp_path, row(hash_ids=[1, 2, 3, 4]))

    assert read_trace(path, block_tokens=10).block_tokens == 10
    with pytest.raises(ProfileError, match=r"4 hash_ids for 40 .* are not blocks of 20 tokens"):
        read_trace(path, block_tokens=20)


def test_several_sizes_that_agree_are_asked_about(tmp_path: Path) -> None:
    path = written(tmp_path, row(input_length=520, hash_ids=[1]))

    with pytest.raises(ProfileError, match=r"blocks of 1024 or 2048 or 4096 .* --trace-block"):
        read_trace(path)


def test_a_separator_inside_a_value_ends_no_line(tmp_path: Path) -> None:
    path = written(tmp_path, chat(type="a\u2028b\x85c"), chat(timestamp=1), mark="\ufeff")

    assert len(read_trace(path).rows) == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[{"timestamp": 0}]', "begins with a list; write one JSON object per line"),
        ("[1]\n", "begins with a list"),
        ("{}\n7\n", ":2 is no JSON object"),
        ("{}\n", ":1 has no known form: no field 'TIMESTAMP'"),
        (json.dumps(row(timestamp=None)), "timestamp is None, expected a number"),
        (json.dumps(row(timestamp=float("nan"))), "timestamp is nan, expected a number"),
        (json.dumps(row(timestamp=True)), "timestamp is True, expected a number"),
        (json.dumps(row(input_length=1.5)), "input_length is 1.5, expected a whole number"),
        (json.dumps(row(input_length=-1)), "input_length is -1, expected a length"),
        (json.dumps(row(output_length=[3])), r"output_length is \[3\], expected a number"),
        (json.dumps(row(hash_ids="12")), "hash_ids is '12', expected a list"),
        (json.dumps(row(hash_ids=[None])), "hash_ids is None, expected a number"),
        ('{"TIMESTAMP": 5}', "5 is no time such as"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03\n", ":2 has no known form"),
    ],
)
def test_what_is_no_trace_is_refused_in_words(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)

    with pytest.raises(ProfileError, match=f"trace: .*{complaint}"):
        read_trace(path)
