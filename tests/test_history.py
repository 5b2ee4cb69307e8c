"""The history reads back what was written, and refuses what contradicts itself."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.errors import HistoryError
from hotfire.measure import history
from hotfire.measure.history import Deviation, FailureClass, Request

NS = st.integers(min_value=0, max_value=10**9)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    sched = draw(st.integers(min_value=10**18, max_value=2 * 10**18))
    stamps = [sched + sum(draw(st.lists(NS, min_size=n, max_size=n))) for n in range(1, 6)]
    stamps.sort()
    reached = draw(st.integers(min_value=0, max_value=5))
    known: list[int | None] = [*stamps[:reached], *[None] * (5 - reached)]
    send, headers, first, last, end = known
    error = draw(st.sampled_from([None, *FailureClass]))
    return Request(
        seq=draw(st.integers(min_value=0, max_value=10**9)),
        sched_ns=sched,
        error_class=error,
        detail=draw(st.text(max_size=20)),
        deviation=draw(st.sampled_from(["", "other_model: b answered, asked was a"])),
        served_by=draw(st.none() | st.text(max_size=10)),
        gaps_us=tuple(draw(st.lists(st.integers(min_value=0, max_value=2**31 - 1), max_size=4))),
        censored=draw(st.booleans()),
        send_ns=send,
        headers_ns=headers,
        first_ns=first,
        last_ns=last,
        end_ns=end,
    )


def text_of(rows: list[Request]) -> str:
    return "".join(json.dumps(history.to_row(row)) + "\n" for row in rows)


@given(st.lists(requests(), max_size=5))
def test_rows_read_back_as_they_were(rows: list[Request]) -> None:
    assert history.parse_lines(text_of(rows)) == rows


@given(st.lists(requests(), min_size=2, max_size=4), st.integers(min_value=1, max_value=200))
def test_a_torn_last_line_is_left_out(rows: list[Request], kept: int) -> None:
    whole, last = text_of(rows[:-1]), text_of(rows[-1:])

    read = history.parse_lines(whole + last[: min(kept, len(last) - 2)])

    assert read == rows[:-1]


def test_a_torn_line_in_the_middle_is_an_error() -> None:
    text = text_of([Request(seq=0, sched_ns=1), Request(seq=1, sched_ns=2)])

    with pytest.raises(HistoryError, match="line 1"):
        history.parse_lines(text[5:])


def test_parquet_and_jsonl_hold_the_same(tmp_path: Path) -> None:
    rows = [
        Request(seq=0, sched_ns=10**18, send_ns=10**18 + 5, n_out=3, gaps_us=(1, 2), status=200),
        Request(seq=1, sched_ns=10**18 + 1, error_class=FailureClass.HTTP_503, served_by="a"),
    ]
    (tmp_path / "h.jsonl").write_text(text_of(rows))

    count = history.to_parquet(tmp_path / "h.jsonl", tmp_path / "h.parquet")

    assert count == 2
    assert history.load(tmp_path / "h.parquet") == rows


def test_packing_streams_more_rows_than_one_batch(tmp_path: Path) -> None:
    rows = [Request(seq=i, sched_ns=10**18 + i, gaps_us=range(i % 7)) for i in range(9000)]
    (tmp_path / "h.jsonl").write_text(text_of(rows))

    assert history.to_parquet(tmp_path / "h.jsonl", tmp_path / "h.parquet") == 9000
    assert history.load(tmp_path / "h.parquet") == rows


def test_packing_refuses_two_rows_of_one_request(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text(text_of([Request(seq=3, sched_ns=1)] * 2))

    with pytest.raises(HistoryError, match="request 3 has two rows"):
        history.to_parquet(tmp_path / "h.jsonl", tmp_path / "h.parquet")


def test_a_gap_beyond_32_bits_is_kept_as_the_longest_there_is() -> None:
    assert list(Request(seq=0, sched_ns=1, gaps_us=(1, 2**40)).gaps_us) == [1, 2**31 - 1]


def test_a_line_separator_inside_a_text_does_not_end_the_row() -> None:
    row = json.dumps(history.to_row(Request(seq=0, sched_ns=1, detail="a\u2028b")))

    assert history.parse_lines(row.replace("\\u2028", "\u2028") + "\n")[0].detail == "a\u2028b"


def test_rows_come_in_scheduled_order(tmp_path: Path) -> None:
    rows = [Request(seq=1, sched_ns=20), Request(seq=0, sched_ns=10)]
    (tmp_path / "h.jsonl").write_text(text_of(rows))

    assert [row.seq for row in history.load(tmp_path / "h.jsonl")] == [0, 1]


def test_one_request_with_two_rows_is_an_error() -> None:
    with pytest.raises(HistoryError, match="request 3 has two rows"):
        history.in_order([Request(seq=3, sched_ns=1), Request(seq=3, sched_ns=2)])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"seq": 1, "sched_ns": 1, "surprise": 1}, "surprise"),
        ({"seq": 1}, "sched_ns"),
        ({"seq": 1, "sched_ns": 1, "error_class": "gremlins"}, "gremlins"),
        ({"seq": 1, "sched_ns": 5, "send_ns": 9, "first_ns": 8}, "first_ns precedes send_ns"),
        ({"seq": 1, "sched_ns": 10**7, "send_ns": 1}, "before it was scheduled"),
    ],
)
def test_a_bad_row_is_named(row: dict[str, object], message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        history.from_row(row)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"h\.jsonl"):
        history.load(tmp_path / "h.jsonl")


def test_a_request_held_back_by_the_client_is_no_failure_of_the_target() -> None:
    held = Request(seq=0, sched_ns=1, error_class=FailureClass.NOT_SENT)

    assert not held.failed
    assert not held.complete
    assert not held.sent


@pytest.mark.parametrize(
    ("error", "status", "first_ns", "lost"),
    [
        (FailureClass.RESET_MIDSTREAM, 200, 9, True),
        (FailureClass.TTFT_TIMEOUT, 200, None, True),
        (FailureClass.DEADLINE, 503, None, False),
        (FailureClass.MALFORMED, 200, 9, True),
        (FailureClass.MALFORMED, 200, None, False),  # a page of HTML
        (FailureClass.MALFORMED, 302, None, False),
        (FailureClass.ABORTED, 200, 9, True),
        (FailureClass.ABORTED, 200, None, False),  # given up before the first token
        (FailureClass.TLS, 200, 9, True),  # a record that cannot be read
        (FailureClass.HTTP_503, 503, None, False),
        (None, 200, 9, False),
    ],
)
def test_a_stream_is_lost_only_once_it_was_accepted(
    error: FailureClass | None, status: int, first_ns: int | None, *, lost: bool
) -> None:
    row = Request(
        seq=0, sched_ns=1, headers_ns=2, status=status, first_ns=first_ns, error_class=error
    )

    assert row.stream_lost is lost


@pytest.mark.parametrize("error", [FailureClass.TLS, FailureClass.RESET_MIDSTREAM])
def test_what_ends_before_its_headers_is_no_lost_stream(error: FailureClass) -> None:
    assert not Request(seq=0, sched_ns=1, error_class=error).stream_lost


def test_deviations_are_told_by_kind_and_words() -> None:
    told = "usage_below_stream: 3 of 8; other_model: b; c: d answered, asked was a"

    assert Request(seq=0, sched_ns=1, deviation=told).deviations == {
        Deviation.USAGE_BELOW_STREAM: "3 of 8",
        Deviation.OTHER_MODEL: "b",
    }


def test_a_row_of_an_older_version_has_no_deviation() -> None:
    row = history.to_row(Request(seq=0, sched_ns=1))
    del row["deviation"]

    assert history.from_row(row).deviations == {}
