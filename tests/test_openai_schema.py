"""What departs from the OpenAI schema, or from what was asked, is told in words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hotfire import Endpoint, Reply
from hotfire.answer.openai_schema import Chat, Completion, problems, stream_problems
from hotfire.answer.token_clock import Asked
from tests.engine_process import EngineProcess, running_engine

ASKED = Asked(models={"tiny"}, max_tokens=4)
WHOLE: dict[str, Any] = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


def choice(**changes: object) -> dict[str, Any]:
    return {"choices": [{**WHOLE["choices"][0], **changes}]}


def used(completion: int) -> dict[str, Any]:
    counts = {"prompt_tokens": 5, "completion_tokens": completion, "total_tokens": 5 + completion}
    return {"usage": counts}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"model": "other"}, "other answered, asked was tiny"),
        (choice(finish_reason="abort"), "got 'abort'"),
        (choice(finish_reason="eos_token"), "got 'eos_token'"),
        (choice(finish_reason=None), "finish_reason"),
        (used(5), "counts 5 tokens of at most 4"),
        (used(0), "counts 0 tokens of text"),
        ({"usage": {**used(2)["usage"], "total_tokens": 9}}, "total_tokens is 9"),
    ],
)
def test_a_whole_answer_is_held_against_schema_and_question(
    changes: dict[str, Any], told: str
) -> None:
    found = problems(Chat, WHOLE | changes, asked=ASKED)

    assert [told in line for line in found] == ([True] if told else [])


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.001", "--tpot-seconds", "0.001") as one:
        yield one


def wrong(reply: Reply) -> list[str]:
    """Return what API-001 would find."""
    if not reply.ok:
        return [reply.why]
    if reply.events:
        return stream_problems(reply.events, asked=ASKED)
    schema = Chat if "chat" in str(reply.body) else Completion
    return problems(schema, reply.body, asked=ASKED)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat", "complete"])
def test_one_answer_of_ten_by_another_model_is_found(
    engine: EngineProcess, path: str, *, stream: bool
) -> None:
    engine.script(misbehaviour="wrong_model", every=10)

    with Endpoint(engine.url, "tiny") as client:
        ask = getattr(client, path)
        found = [wrong(ask(f"Count {turn}.", max_tokens=4, stream=stream)) for turn in range(20)]

    told = [lines for lines in found if lines]
    assert told == [["some-other-model answered, asked was tiny"]] * 2


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        ("ok", ""),
        ("end_token", ""),
        ("held_back", ""),
        ("usage_above", "counts 1004 tokens of at most 4"),
        ("usage_below", "counts 2 tokens of text, 4 chunks of it came"),
        ("abort", "finish_reason abort after 2 chunks"),
        ("other_reason", "finish_reason because"),
        ("no_usage", "no usage"),
        ("truncate", "truncated_no_done"),
        ("sse_error", "sse_error"),
    ],
)
def test_a_stream_is_held_against_what_clients_rely_on(
    engine: EngineProcess, fate: str, told: str
) -> None:
    engine.script(misbehaviour=fate, every=1)

    with Endpoint(engine.url, "tiny") as client:
        found = wrong(client.chat("Count.", max_tokens=4, stream=True))

    assert [told in line for line in found[:1]] == ([True] if told else [])


def test_each_of_two_choices_has_an_end_of_its_own() -> None:
    def part(index: int, finish: str | None, **delta: str) -> dict[str, Any]:
        return {"index": index, "delta": delta, "finish_reason": finish}

    chunks = [
        *([part(i, None, content="a")] for i in (0, 1)),
        *([part(i, "stop")] for i in (0, 1)),
    ]
    common = {"id": "x", "object": "chat.completion.chunk", "model": "tiny"}
    rows = [json.dumps(common | {"choices": one}) for one in chunks]
    rows += [json.dumps(common | {"choices": []} | used(4)), "[DONE]"]

    assert stream_problems(rows, asked=ASKED) == []


@pytest.mark.parametrize("event", ["7", "null", "[]", '"text"', "true", "[" * 100_000])
def test_event_of_another_shape_is_a_deviation(event: str) -> None:
    assert stream_problems([event, "[DONE]"], asked=ASKED) != []


def test_a_model_that_stops_before_its_first_word_answers_as_it_should(
    engine: EngineProcess,
) -> None:
    engine.script(misbehaviour="no_output", every=1)

    with Endpoint(engine.url, "tiny") as client:
        reply = client.complete("Count.", max_tokens=4, stream=True)

    # A load has no first token to measure; the answer lacks nothing.
    assert reply.failure is not None
    assert reply.ended_empty
    assert reply.ok
    assert not any("no output" in line for line in wrong(reply))
