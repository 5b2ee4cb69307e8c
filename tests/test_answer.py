"""Transcripts are read the same however they are cut, and each wrong ending has its class."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.measure.history import FailureClass
from hotfire.traffic.wire.answer import AnswerParser
from hotfire.traffic.wire.plain import learn

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


def read(data: bytes, *, at_ns: int = 1) -> AnswerParser:
    answer = AnswerParser()
    answer.feed(data, at_ns)
    return answer


def test_a_complete_stream_is_complete() -> None:
    answer = read(HEAD + chunked(GOOD))

    assert answer.ended
    assert answer.outcome() == (None, "")
    assert (answer.said.n_in, answer.said.n_out, answer.said.finish_reason) == (7, 3, "length")
    assert answer.served_by == "vllm-1"
    assert len(answer.said.gaps) == 2
    assert answer.reusable


@given(st.lists(st.integers(1, len(HEAD + chunked(GOOD)) - 1), max_size=12))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    data = HEAD + chunked(GOOD)
    answer = AnswerParser()

    places = [0, *sorted(set(cuts)), len(data)]
    for start, end in itertools.pairwise(places):
        answer.feed(data[start:end], 1000 * end)

    assert answer.outcome() == (None, "")
    assert len(answer.said.gaps) == 2
    assert answer.said.first_ns is not None
    assert answer.said.last_ns is not None
    assert 1000 * sum(answer.said.gaps.us()) == answer.said.last_ns - answer.said.first_ns


def test_the_role_alone_is_no_token() -> None:
    answer = AnswerParser()
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
    assert len(answer.said.gaps) == 1


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
        (TOKENS + chunk({}, "abort") + USAGE + DONE, FailureClass.ABORTED),
        (TOKENS + chunk({}, "error") + DONE, FailureClass.ABORTED),
        (TOKENS + chunk({}, "eos_token") + DONE, FailureClass.ABORTED),
        (TOKENS + chunk({}, "abort"), FailureClass.ABORTED),
        (TOKENS + chunk({}, "abort") + chunk({}, "stop") + DONE, FailureClass.ABORTED),
        (ROLE + chunk({}, "abort") + DONE, FailureClass.ABORTED),
    ],
)
def test_a_stream_that_lacks_something_has_its_class(body: bytes, kind: FailureClass) -> None:
    answer = read(HEAD + chunked(body) if body else HEAD + b"0\r\n\r\n")

    assert answer.ended
    assert answer.outcome()[0] is kind


@pytest.mark.parametrize(
    "reason", ["stop", "length", "tool_calls", "content_filter", "function_call"]
)
def test_an_answer_that_ended_for_a_known_reason_is_whole(reason: str) -> None:
    assert read(HEAD + chunked(TOKENS + chunk({}, reason) + DONE)).outcome() == (None, "")


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


# The short cut for plain tokens against the long way.

WORDS = st.text(max_size=6)
EVENTS = st.one_of(
    WORDS.map(lambda text: chunk({"content": text})),
    st.sampled_from(["the", " hot", "é", "\n", '"', "\\", "\udc80"]).map(
        lambda text: chunk({"content": text})
    ),
    WORDS.map(lambda text: chunk({"reasoning_content": text})),
    WORDS.map(lambda text: event({"choices": [{"text": text, "finish_reason": None}]})),
    st.sampled_from([b"\xc3", b"\0", b"\r", b"\n", b'"'] ).map(
        lambda raw: chunk({"content": "@"}).replace(b"@", raw)
    ),
    st.sampled_from(
        [
            ROLE, USAGE, DONE, b": ping\n\n", b"data: {\n\n", b"data: x\ndata: y\n\n", b"\n",
            chunk({}, "length"), event({"error": {"message": "boom"}}), b"event: error\n",
            TOKENS.replace(b"data: ", b"data:"), TOKENS.replace(b"\n", b"\r\n"), b"id: 7\n",
            chunk({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 2}),
        ]
    ),
)  # fmt: skip
FORMS = st.sampled_from([b"%x\r\n%s\r\n"] * 6 + [b"%X\r\n%s\r\n", b"00%x;a=b\r\n%s\r\n"])


def facts(answer: AnswerParser) -> list[object]:
    said = answer.said
    names = [name for name in said.__slots__ if name != "gaps"]
    shown: list[object] = [getattr(said, name) for name in names]
    shown += [
        list(said.gaps.us()),
        said.last_ns,
        answer.status,
        answer.headers_ns,
        answer.served_by,
    ]
    return [*shown, answer.ended, answer.reusable, answer.outcome()]


@given(st.lists(EVENTS, max_size=12), st.data())
def test_the_short_cut_sees_what_the_long_way_sees(parts: list[bytes], draw: st.DataObject) -> None:
    body = TOKENS + b"".join(parts)
    borders = cuts(draw, body, [len(TOKENS)])
    wire = HEAD + b"".join(
        draw.draw(FORMS) % (len(piece), piece) for piece in pieces(body, borders) if piece
    )
    wire += draw.draw(st.sampled_from([b"", b"0\r\n\r\n", b"0\r\nx-a: b\r\n\r\nHTTP", b"zz\r\n"]))
    short, long = AnswerParser(), AnswerParser(short_cut=False)

    for now, piece in enumerate(pieces(wire, cuts(draw, wire, [len(HEAD)])), start=1):
        if not long.ended:
            short.feed(piece, now)
            long.feed(piece, now)
        assert facts(short) == facts(long)


def cuts(draw: st.DataObject, data: bytes, always: list[int]) -> list[int]:
    """Return where to cut: after events or chunks mostly, and anywhere sometimes."""
    ends = [place + 1 for place in range(len(data)) if data[place : place + 1] == b"\n"]
    places = st.one_of(st.sampled_from(ends), st.integers(0, len(data)))
    return sorted({*always, *draw.draw(st.lists(places, max_size=20))})


def pieces(data: bytes, borders: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in itertools.pairwise([0, *borders, len(data)])]


def test_plain_tokens_take_the_short_cut() -> None:
    tokens = [chunk({"content": text}) for text in ("a", " b", " über")]
    wire = b"".join(b"%x\r\n%s\r\n" % (len(token), token) for token in tokens)
    template = learn(tokens[0][6:-2].decode(), json.loads(tokens[0][6:-2]))

    assert template
    assert template.take(wire) == (len(wire), 3)
    assert template.take(wire[:-1]) == (len(wire) - len(tokens[2]) - 6, 2)


@pytest.mark.parametrize(
    "token",
    [
        chunk({"content": ""}),
        chunk({"content": "a"}, "stop"),
        chunk({"content": 'a"'}),
        chunk({"content": "a", "reasoning": "b"}),
        chunk({"content": "a"}, usage={"completion_tokens": 1}),
        chunk({"role": "assistant"}),
        event({"error": "a"}),
        event({"choices": [{"delta": {"content": "a"}}] * 2}),
    ],
)
def test_no_other_event_is_a_pattern(token: bytes) -> None:
    text = token[6:-2].decode()

    assert learn(text, json.loads(text)) is None


# What a hostile peer sends.


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TOKENS + b"data: " + b"x" * (1 << 20), "an event of more than"),
        (TOKENS + b"data: x\n" * 100_000, "an event of more than"),
        (TOKENS + b"data: " + b"[" * 200_000 + b"\n\n", "RecursionError"),
        (TOKENS + DONE + TOKENS, "an event after"),
    ],
)
def test_what_a_peer_can_make_us_keep_is_bounded(body: bytes, kind: str) -> None:
    answer = read(HEAD + chunked(body))

    assert answer.ended
    assert answer.outcome()[0] is FailureClass.MALFORMED
    assert kind in answer.outcome()[1]


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nx-a: ", HEAD + b"5;x=", HEAD + chunked(GOOD)[:-2] + b"x-trailer: "],
)
def test_headers_extensions_and_trailers_without_end_are_given_up(start: bytes) -> None:
    answer = read(start)
    for _ in range(200):
        answer.feed(b"y" * 1000, 2)

    assert answer.ended
    assert answer.outcome()[0] is FailureClass.MALFORMED


def test_a_second_answer_changes_nothing_but_the_connection() -> None:
    more = b"HTTP/1.1 500 No\r\nx-served-by: other\r\ncontent-length: 2\r\n\r\nno"

    answer = read(HEAD + chunked(GOOD) + more)

    assert answer.outcome() == (None, "")
    assert (answer.status, answer.served_by, answer.reusable) == (200, "vllm-1", False)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", "encoded as gzip"),
        (b"transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "encoded as gzip"),
        (b"content-type: text/html\r\ncontent-length: 4\r\n\r\n<h1>", "got text/html: <h1>"),
    ],
)
def test_what_is_no_stream_says_what_it_is(head: bytes, words: str) -> None:
    kind, detail = read(b"HTTP/1.1 200 OK\r\n" + head).outcome()

    assert kind is FailureClass.MALFORMED
    assert words in detail


# Answers that are not streamed.

WHOLE = {
    "choices": [{"message": {"role": "assistant", "content": "a b"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}


def whole(document: object) -> AnswerParser:
    body = json.dumps(document).encode()
    answer = AnswerParser(streamed=False)
    answer.feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body), 5)
    return answer


def test_a_whole_answer_has_its_tokens_and_no_first_one() -> None:
    answer = whole(WHOLE)

    assert answer.outcome() == (None, "")
    assert (answer.said.n_out, answer.said.finish_reason) == (2, "stop")
    assert (answer.said.first_ns, answer.said.last_ns) == (None, 5)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"error": {"message": "boom"}}, FailureClass.SSE_ERROR),
        (WHOLE | {"choices": []}, FailureClass.MALFORMED),
        ({"choices": [{"text": "a"}]}, FailureClass.MALFORMED),
        ({"choices": [{"text": "a", "finish_reason": "abort"}]}, FailureClass.ABORTED),
        ([1], FailureClass.MALFORMED),
        ("data: [DONE]", FailureClass.MALFORMED),
    ],
)
def test_a_whole_answer_that_lacks_something_has_its_class(
    document: object, kind: FailureClass
) -> None:
    assert whole(document).outcome()[0] is kind
