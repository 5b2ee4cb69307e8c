"""Prometheus' text format is read back as it was written; no data is None."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire import metrics
from hotfire.errors import HarnessError

LABEL_VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
VALUES = st.floats(allow_nan=False) | st.sampled_from([float("inf"), 0.0])


def quoted(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@given(st.dictionaries(st.sampled_from(["a", "le", "model_name"]), LABEL_VALUES), VALUES)
def test_a_sample_reads_back(labels: dict[str, str], value: float) -> None:
    inside = ",".join(f'{name}="{quoted(text)}"' for name, text in labels.items())

    (sample,) = metrics.parse(f"# HELP x y\nvllm:x_total{{{inside}}} {value!r} 1700000\n").samples

    assert (sample.name, dict(sample.labels), sample.value) == ("vllm:x_total", labels, value)


def test_total_sums_the_series_with_the_given_labels() -> None:
    scrape = metrics.parse('x{a="1",b="2"} 3\nx{a="1"} 4\nx{a="2"} 5\n')

    assert scrape.total("x", a="1") == 7
    assert scrape.total("x") == 12


def test_no_data_is_none() -> None:
    scrape = metrics.parse("x NaN\nx_count 0\nx_sum 0\n")

    assert scrape.total("x") is None
    assert scrape.total("y") is None
    assert scrape.mean("x") is None


def test_an_older_name_is_accepted() -> None:
    scrape = metrics.parse(
        "vllm:time_per_output_token_seconds_sum 6\nvllm:time_per_output_token_seconds_count 3\n"
    )

    assert scrape.mean("vllm:request_time_per_output_token_seconds") == 2


def test_increase_survives_a_restart() -> None:
    before = metrics.parse('c_total{pod="a"} 10\nc_total{pod="b"} 5\n')
    after = metrics.parse('c_total{pod="a"} 3\nc_total{pod="b"} 9\nc_total{pod="c"} 1\n')

    assert metrics.increase(before, after, "c_total") == 3 + 4 + 1
    assert metrics.increase(before, after, "other_total") is None


@pytest.mark.parametrize(
    "line", ["x", "x{a=1} 2", 'x{a="1" 2', "<html>", "x one", "x 1_0", 'x{a="1"} 2 3 4']
)
def test_a_malformed_line_costs_itself_and_is_told(line: str) -> None:
    scrape = metrics.parse(f"ok 1\n{line}\nalso 2\n")

    assert (scrape.total("ok"), scrape.total("also")) == (1, 2)
    assert scrape.malformed == (f"line 2: {line!r}",)


def test_a_sum_of_which_a_line_is_unread_is_unknown() -> None:
    before = metrics.parse('c_total{pod="a"} 3\nc_total{pod="b"} 5\n')
    after = metrics.parse('c_total{pod="a"} 4\nc_total{pod="b" 9\n')

    assert before.total("c_total") == 8
    assert after.total("c_total") is None
    assert metrics.increase(before, after, "c_total") is None


@pytest.mark.parametrize("page", ["<html>\n", "x\n# HELP x y\n", '{"status": "success"}'])
def test_what_is_no_page_of_metrics_is_quoted(page: str) -> None:
    with pytest.raises(HarnessError, match="no page of metrics; line 1"):
        metrics.parse(page)


def test_a_page_without_a_sample_is_empty() -> None:
    assert metrics.parse("# HELP x y\n\n").samples == ()


@pytest.mark.parametrize(
    "line",
    [
        'x_bucket{le="0.1"} 7 # {trace_id="a} b",span="c"} 0.05 1700000.5',
        'x_bucket{le="0.1"} 7 1700000.123 # {} 0.05',
        'x_bucket{le="0.1",} 7 1.7e9',
        'x_bucket {le = "0.1" } 7\r',
    ],
)
def test_exemplars_and_other_spellings_are_read(line: str) -> None:
    (sample,) = metrics.parse(f"{line}\n# EOF\n").samples

    assert (sample.name, sample.labels, sample.value) == ("x_bucket", {"le": "0.1"}, 7)


@pytest.mark.parametrize(
    "line",
    [
        'x{a="' + "\\" * 200_000,
        "x" + " " * 200_000 + "=",
        "x{" + 'a="b",' * 50_000 + "} 1",
    ],
    ids=["backslashes", "blanks", "labels"],
)
def test_a_long_line_costs_no_more_than_its_length(line: str) -> None:
    began = time.monotonic()

    metrics.parse(f"ok 1\n{line}\n")

    assert time.monotonic() - began < 2.0
