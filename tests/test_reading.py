"""Load, Endpoint and schema check read an answer alike, whatever was done to it."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotfire import Endpoint, Reply
from hotfire.answer.openai_schema import Chat, problems, stream_problems
from hotfire.answer.reading import read_stream
from hotfire.answer.token_clock import Asked
from hotfire.answer.transcript import NO_OUTPUT, Transcript
from hotfire.engine import scripted
from hotfire.measure.history import FailureClass
from hotfire.traffic.wire.answer import AnswerParser
from hotfire.traffic.wire.exchange import Exchange, cut
from hotfire.traffic.wire.orders import Order
from tests.engine_process import EngineProcess, running_engine
from tests.truth import CLASSES

GIVEN_UP = {
    FailureClass.STALL_TIMEOUT, FailureClass.TTFT_TIMEOUT, FailureClass.HEADER_TIMEOUT,
    FailureClass.DEADLINE,
}  # fmt: skip
ASKED = Asked(models={"tiny"}, max_tokens=8)
SILENT_SECONDS = 0.3
KEPT_BYTES = 600_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the scripted engine sent: status, headers that matter, and the body without framing."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.005", "--tpot-seconds", "0.001") as one:
        one.script(stall_seconds=0.1)
        yield one


@pytest.mark.parametrize("fate", CLASSES)
@pytest.mark.parametrize("path", ["chat", "complete"])
def test_endpoint_gives_each_answer_the_class_that_the_load_gives(
    engine: EngineProcess, fate: str, path: str
) -> None:
    engine.script(misbehaviour=fate)
    expected = CLASSES[fate]
    patience = SILENT_SECONDS if expected in GIVEN_UP else 20

    with Endpoint(engine.url, "tiny", deadline_seconds=patience) as client:
        reply = getattr(client, path)("Count.", max_tokens=8, stream=True, fresh=True)

    # It has one deadline where the load has several.
    assert reply.failure in (GIVEN_UP if expected in GIVEN_UP else {expected}), reply.why
    assert reply.ok == (expected is None or reply.ended_empty)


@pytest.fixture(scope="module")
def transcripts(engine: EngineProcess) -> list[Recorded]:
    """One stream and one whole answer of each misbehaviour that gets as far as headers."""
    found = []
    for fate in scripted.MIXED:
        engine.script(misbehaviour=fate)
        for path in ("/v1/chat/completions", "/v1/completions"):
            found += [one] if (one := recorded(engine, path)) else []
    return found


def recorded(engine: EngineProcess, path: str) -> Recorded | None:
    connection = HTTPConnection("127.0.0.1", engine.port, timeout=SILENT_SECONDS)
    body = (
        '{"model":"tiny","max_tokens":8,"stream":true,"stream_options":{"include_usage":true},'
        '"messages":[{"role":"user","content":"Count."}],"prompt":"Count."}'
    )
    received, response = b"", None
    try:
        connection.request("POST", path, body=body)
        response = connection.getresponse()
        while len(received) < KEPT_BYTES and (more := response.read1(65_536)):
            received += more
    except (OSError, HTTPException):
        pass
    finally:
        connection.close()
    if response is None or not received:
        return None
    names = ("content-type", "content-encoding")
    headers = {name: value for name in names if (value := response.getheader(name))}
    return Recorded(response.status, headers, received)


# What is put into a body, beside what it has of its own.
SNIPPETS = st.sampled_from(
    [
        b"data: [DONE]\n\n", b"\n", b"\r", b"\r\n\r\n", b": ping\n\n", b"event: error\n", b"data: ",
        b'data: {"error": {"message": "boom"}}\n\n', b"data: {}\n\n", b"data: [1]\n\n", b'"', b"}",
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}\n\n', b"\xc3", b"\0",
        b'data: {"choices":[{"index":1,"delta":{"content":"z"},"finish_reason":"eos"}]}\n\n',
        b'data: {"choices":[{"delta":{"content":""}}],"model":"b"}\n\n', b"null", b"\xef\xbb\xbf",
        b'data: {"choices":[{"index":[1],"delta":{"content":"z"}}]}\n\n', b"id: 7\n",
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2.0}}\n\n',
        b'data: {"choices":[{"delta":{"content":["a"]}}],"usage":3}\n\n', b"data: {\ndata: }\n\n",
    ]
)  # fmt: skip


def mutated(draw: st.DataObject, body: bytes) -> bytes:
    """Return the body with some events dropped, doubled or moved, and bytes put in or cut."""
    for _ in range(draw.draw(st.integers(0, 4))):
        events = body.split(b"\n\n")
        place = draw.draw(st.integers(0, max(0, len(events) - 1)))
        at = draw.draw(st.integers(0, len(body)))
        match draw.draw(st.sampled_from(["drop", "double", "last", "insert", "cut", "tail"])):
            case "drop":
                body = b"\n\n".join(events[:place] + events[place + 1 :])
            case "double":
                body = b"\n\n".join(events[: place + 1] + events[place:])
            case "last":
                body = b"\n\n".join(events[:place] + events[place + 1 :] + [events[place], b""])
            case "insert":
                body = body[:at] + draw.draw(SNIPPETS) + body[at:]
            case "cut":
                body = body[:at] + body[at + draw.draw(st.integers(1, 9)) :]
            case "tail":
                body = body[:at]
    return body


ENDS: dict[str, Exception | None] = {
    "whole": None,
    "closed": httpx.RemoteProtocolError("peer closed connection without sending complete body"),
    "reset": httpx.ReadError("reset by peer"),
}


@settings(max_examples=400)
@given(draw=st.data())
def test_all_readers_agree_on_every_transcript_and_every_mutation_of_one(
    transcripts: list[Recorded], draw: st.DataObject
) -> None:
    one = draw.draw(st.sampled_from(transcripts), label="transcript")
    body = mutated(draw, one.body)
    end = draw.draw(st.sampled_from(list(ENDS)), label="end")

    short, long = (loaded(draw, one, body, end, short_cut=cut) for cut in (True, False))
    reply = asked(one, body, ENDS[end])

    assert short[0] == long[0] == reply.failure, (short, long, reply.why)
    assert reply.text == long[1].text
    wrong = stream_problems(reply.events, asked=ASKED) if reply.ok else [reply.why]
    assert wrong or reply.failure is None or reply.ended_empty


@settings(max_examples=200)
@given(draw=st.data())
def test_all_readers_see_the_same_events(transcripts: list[Recorded], draw: st.DataObject) -> None:
    streams = [one for one in transcripts if one.status < 300 and len(one.headers) == 1]
    one = draw.draw(st.sampled_from(streams))
    body = mutated(draw, one.body)

    _, said = loaded(draw, one, body, "whole", short_cut=True)
    reading = read_stream(body, whole=True)

    assert facts(said) == facts(reading.said)
    # The schema check gets the events without their names.
    empty = reading.said.outcome()[1] == NO_OUTPUT and reading.said.finish_reason is not None
    if b"event" not in body and reading.said.outcome()[0] and not empty:
        assert stream_problems([event.data for event in reading.events], asked=ASKED)


TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\r"])
def test_an_end_by_any_kind_of_line_is_an_end(line: bytes) -> None:
    body = b"".join(event + 2 * line for event in (TOKEN, LAST, b"data: [DONE]"))

    load = AnswerParser()
    load.feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body), 1)

    assert load.outcome() == read_stream(body, whole=True).said.outcome() == (None, "")


WHOLE = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"tiny","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"a b"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}'
)
WORDS = st.sampled_from(
    [b'"abort"', b'"error"', b'"eos"', b'"length"', b"null", b"[]", b"{}", b"0", b'"a"', b"2.0"]
)


@given(draw=st.data())
def test_an_answer_that_is_not_streamed_is_read_alike_too(draw: st.DataObject) -> None:
    values = [b'"tiny"', b'"a b"', b'"stop"', b"2", b"0", b'{"prompt_tokens":7', b"[{"]
    body = WHOLE.replace(draw.draw(st.sampled_from(values)), draw.draw(WORDS))
    body = body[: draw.draw(st.sampled_from([len(body), len(body), len(body) // 2]))]

    load = AnswerParser(streamed=False)
    load.feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body), 5)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    reply = Endpoint("http://target", "tiny", transport=transport).chat("Hi.")

    assert load.outcome()[0] == reply.failure
    assert load.said.finish_reason == reply.finish_reason
    wrong = problems(Chat, reply.body, asked=ASKED) if reply.ok else [reply.why]
    assert wrong or reply.failure is None or reply.ended_empty


def facts(said: Transcript) -> list[object]:
    """Return what was said, but for when and for the text, which a load does not keep."""
    left_out = {"gaps", "texts"}
    names = [n for n in said.__slots__ if n not in left_out and not n.endswith("_ns")]
    return [len(said.gaps), *(getattr(said, name) for name in names)]


def loaded(
    draw: st.DataObject, one: Recorded, body: bytes, end: str, *, short_cut: bool
) -> tuple[FailureClass | None, Transcript]:
    """Return what a load makes of a body, in chunks and pieces of any size."""
    head = b"".join(b"%s: %s\r\n" % (n.encode(), v.encode()) for n, v in one.headers.items())
    wire = b"HTTP/1.1 %d Any\r\n%stransfer-encoding: chunked\r\n\r\n" % (one.status, head)
    borders = draw.draw(st.lists(st.integers(0, len(body)), max_size=8))
    parts = pieces(body, borders)
    wire += b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    wire += b"0\r\n\r\n" if end == "whole" else b""
    answer = AnswerParser(short_cut=short_cut)
    answer.said = Transcript(keep_text=True)
    for now, piece in enumerate(pieces(wire, range(0, len(wire), 16_384)), start=1):
        if not answer.ended:
            answer.feed(piece, now)
    if answer.ended:
        return answer.outcome()[0], answer.said
    exchange = Exchange(Order(0, 0, 0), 0, answer, send_ns=1)
    error = ConnectionResetError(104, "reset") if end == "reset" else None
    return cut(exchange, error, 2)[0], answer.said


def pieces(data: bytes, borders: Any) -> list[bytes]:  # noqa: ANN401 - any iterable of places
    places = sorted({0, *borders, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


class Body(httpx.SyncByteStream):
    """A body that ends as it is told to."""

    def __init__(self, body: bytes, end: Exception | None) -> None:
        self._body, self._end = body, end

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        if self._end:
            raise self._end


def asked(one: Recorded, body: bytes, end: Exception | None) -> Reply:
    """Return what Endpoint makes of the same body."""
    # httpx would decode it; whoever sends one is wrong before that.
    headers = {name: value for name, value in one.headers.items() if value != "gzip"}
    headers |= {"content-encoding": "br"} if "content-encoding" in one.headers else {}
    transport = httpx.MockTransport(
        lambda _: httpx.Response(one.status, headers=headers, stream=Body(body, end))
    )
    with Endpoint("http://target", "tiny", transport=transport) as client:
        return client.chat("Count.", stream=True)
