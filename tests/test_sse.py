"""An event stream means the same however the network cut it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.answer.sse import Parser, ServerEvent, parse

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20).filter(
    lambda text: not text.startswith("\ufeff")
)
endings = st.sampled_from(["\n", "\r\n", "\r"])


@given(st.lists(texts, max_size=8), endings)
def test_every_event_comes_back(data: list[str], end: str) -> None:
    body = "".join(f"data: {text}{end}{end}" for text in data)

    # A lone CR at the very end may still become a CRLF, so one more line settles it.
    events = parse(f"{body}:{end}:".encode())

    assert [event.data for event in events] == data


@given(st.lists(texts, min_size=1, max_size=5), endings, st.data())
def test_packet_borders_do_not_matter(lines: list[str], end: str, draw: st.DataObject) -> None:
    body = "".join(f"event: e{end}data: {text}{end}{end}" for text in lines).encode() + b":\n"
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    parser = Parser()

    events = [
        event
        for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True)
        for event in parser.feed(body[start:stop])
    ]

    assert events == parse(body)


@given(st.binary(max_size=200))
def test_garbage_never_raises(body: bytes) -> None:
    assert all(event.data is not None for event in parse(body))


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\ndata: b\n\n", [ServerEvent(data="a\nb")]),
        (b"data:a\n\n", [ServerEvent(data="a")]),
        (b"data:  a\n\n", [ServerEvent(data=" a")]),
        (b": keep-alive\n\ndata: a\n\n", [ServerEvent(data="a")]),
        (
            b"event: response.completed\ndata: {}\n\n",
            [ServerEvent(data="{}", name="response.completed")],
        ),
        (
            b"id: 7\ndata: a\n\ndata: b\n\n",
            [ServerEvent(data="a", id="7"), ServerEvent(data="b", id="7")],
        ),
        (b"event: lost\n\ndata: a\n\n", [ServerEvent(data="a")]),
        (b"data\n\n", [ServerEvent(data="")]),
        (b"\xef\xbb\xbfdata: a\n\n", [ServerEvent(data="a")]),
        (b"data: truncated\n", []),
        (b"", []),
    ],
)
def test_stream_is_read_as_the_standard_says(body: bytes, events: list[ServerEvent]) -> None:
    assert parse(body) == events


def test_parser_knows_that_an_event_was_cut() -> None:
    parser = Parser()
    parser.feed(b"data: whole\n\ndata: cu")

    assert parser.pending


def test_parser_knows_that_nothing_was_cut() -> None:
    parser = Parser()
    parser.feed(b"data: whole\n\n")

    assert not parser.pending
