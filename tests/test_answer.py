"""Transcripts are read the same however they are cut, and each wrong ending has its class."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.history import FailureClass
from hotfire.traffic.answer import Answer

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-inference-pod: vllm-1\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
DONE = b"data: [DONE]\n\n"


def event(document: object) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def chunk(delta: dict[str, object], finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event({"id": "x", "choices": [choice], **more})


ROLE = chunk({"role": "assistant", "content": ""})
USAGE = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
TOKENS = chunk({"content": "a"}) + chunk({"content": " b"})
GOOD = ROLE + TOKENS + chunk({"content": " c"}, "length") + USAGE + DONE


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def read(data: bytes, *, at_ns: int = 1) -> Answer:
    answer = Answer()
    answer.feed(data, at_ns)
    return answer


def test_a_complete_stream_is_complete() -> None:
    answer = read(HEAD + chunked(GOOD))

    assert answer.ended
    assert answer.outcome() == (None, "")
    assert (answer.said.n_in, answer.said.n_out, answer.said.finish_reason) == (7, 3, "length")
    assert answer.served_by == "vllm-1"
    assert len(answer.said.gaps_ns) == 2
    assert answer.reusable


@given(st.lists(st.integers(1, len(HEAD + chunked(GOOD)) - 1), max_size=12))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    data = HEAD + chunked(GOOD)
    answer = Answer()

    places = [0, *sorted(set(cuts)), len(data)]
    for start, end in itertools.pairwise(places):
        answer.feed(data[start:end], end)

    assert answer.outcome() == (None, "")
    assert len(answer.said.gaps_ns) == 2
    assert answer.said.first_ns is not None
    assert answer.said.last_ns is not None
    assert sum(answer.said.gaps_ns) == answer.said.last_ns - answer.said.first_ns


def test_the_role_alone_is_no_token() -> None:
    answer = Answer()
    answer.feed(HEAD + b"%x\r\n%s\r\n" % (len(ROLE), ROLE), 1)
    token = chunk({"content": "a"})
    answer.feed(b"%x\r\n%s\r\n" % (len(token), token), 2)

    assert (answer.headers_ns, answer.said.first_ns) == (1, 2)


@pytest.mark.parametrize(
    ("delta", "first", "first_output"),
    [
        ({"content": "a"}, True, True),
        ({"content": ""}, True, True),
        ({"reasoning": "a"}, True, False),
        ({"reasoning_content": "a", "content": None}, True, False),
        ({"tool_calls": [{"index": 0}]}, True, True),
        ({"role": "assistant", "content": ""}, False, False),
        ({}, False, False),
    ],
)
def test_what_counts_as_a_token(
    delta: dict[str, object], *, first: bool, first_output: bool
) -> None:
    answer = read(HEAD + chunked(chunk(delta)))

    assert (answer.said.first_ns is not None, answer.said.first_output_ns is not None) == (
        first,
        first_output,
    )


def test_a_text_completion_has_tokens_too() -> None:
    choices = [{"text": text, "finish_reason": None} for text in ("a", " b")]
    end = {"text": "", "finish_reason": "stop"}
    parts = [event({"choices": [choice]}) for choice in (*choices, end)]

    answer = read(HEAD + chunked(*parts, DONE))

    assert answer.outcome() == (None, "")
    assert len(answer.said.gaps_ns) == 1


def test_usage_in_the_first_chunk_tells_how_many_tokens_it_holds() -> None:
    first = chunk({"content": "a b"}, usage={"prompt_tokens": 7, "completion_tokens": 2})

    answer = read(HEAD + chunked(ROLE, first, USAGE, DONE))

    assert (answer.said.n_first, answer.said.n_out) == (2, 3)


def test_comments_and_crlf_lines_are_understood() -> None:
    body = (b": ping\n\n" + GOOD).replace(b"\n", b"\r\n")

    assert read(HEAD + chunked(body)).outcome() == (None, "")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TOKENS, FailureClass.TRUNCATED_NO_DONE),
        (b"", FailureClass.TRUNCATED_NO_DONE),
        (GOOD.removesuffix(b"\n"), FailureClass.TRUNCATED_NO_DONE),
        (TOKENS + event({"error": {"message": "boom"}}) + DONE, FailureClass.SSE_ERROR),
        (event({"object": "error", "message": "boom"}) + DONE, FailureClass.SSE_ERROR),
        (ROLE + b'data: {"choices"\n\n' + DONE, FailureClass.MALFORMED),
        (b"data: [1]\n\n" + DONE, FailureClass.MALFORMED),
        (event({"choices": ["x"]}) + DONE, FailureClass.MALFORMED),
        (ROLE + DONE, FailureClass.MALFORMED),
        (TOKENS + DONE, FailureClass.MALFORMED),
    ],
)
def test_a_stream_that_lacks_something_has_its_class(body: bytes, kind: FailureClass) -> None:
    answer = read(HEAD + chunked(body) if body else HEAD + b"0\r\n\r\n")

    assert answer.ended
    assert answer.outcome()[0] is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, FailureClass.MALFORMED),
        (404, FailureClass.HTTP_4XX),
        (429, FailureClass.HTTP_429),
        (500, FailureClass.HTTP_5XX),
        (503, FailureClass.HTTP_503),
    ],
)
def test_a_status_has_its_class_and_keeps_its_words(status: int, kind: FailureClass) -> None:
    answer = read(b"HTTP/1.1 %d No\r\ncontent-length: 11\r\n\r\nno upstream" % status)

    assert answer.outcome() == (kind, f"{status}: no upstream")


def test_an_interim_answer_is_not_the_answer() -> None:
    answer = read(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert not answer.ended

    answer.feed(HEAD + chunked(GOOD), 2)

    assert answer.outcome() == (None, "")
    assert answer.headers_ns == 2


def test_a_body_without_length_ends_with_the_connection() -> None:
    answer = read(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD)
    assert not answer.ended

    assert answer.closed()
    assert answer.outcome() == (None, "")
    assert not answer.reusable


def test_a_body_with_a_length_does_not_end_with_the_connection() -> None:
    assert not read(HEAD + chunked(GOOD)[:40]).closed()


def test_what_is_not_http_is_malformed() -> None:
    answer = read(b"SSH-2.0-OpenSSH_9.6\r\n")

    assert answer.ended
    assert answer.outcome()[0] is FailureClass.MALFORMED


@given(st.text(), st.sampled_from([None, "stop"]))
def test_the_short_cut_only_takes_plain_tokens(text: str, finish: str | None) -> None:
    data = chunk({"content": text}, finish).removeprefix(b"data: ").strip()

    assert plain_token(data) is (bool(text) and finish is None)
