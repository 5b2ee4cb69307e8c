"""Many answers of one engine: with what status, in which words, at what pace."""

import json
from collections.abc import Iterator

import pytest

from hotfire.agent import sample
from hotfire.agent.host import OperationError
from tests.engine_process import EngineProcess, running_engine

Answers = list[dict[str, object]]


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds=0.001", "--tpot-seconds=0.005") as found:
        yield found


def sampled(engine: EngineProcess, **changes: object) -> Answers:
    order = {"address": "127.0.0.1", "port": engine.port, "model": "tiny", "within_seconds": 2}
    answers: Answers = sample.engine(order | {"first": 0, "times": 20, "max_tokens": 4} | changes)[
        "answers"
    ]
    return answers


def test_the_same_number_is_the_same_prompt_and_another_is_another(engine: EngineProcess) -> None:
    engine.script(misbehaviour="ok")
    first, again = sampled(engine), sampled(engine, first=10, times=10)

    assert [one["status"] for one in first] == [200] * 20
    assert [one["text"] for one in first[10:]] == [one["text"] for one in again]
    assert len({one["text"] for one in first}) > 1


def test_an_error_is_told_by_its_status(engine: EngineProcess) -> None:
    engine.script(misbehaviour="internal_error", every=5)

    assert [one["status"] for one in sampled(engine)].count(500) == 4


def test_answers_are_bound_to_a_schema_where_that_is_asked_for(engine: EngineProcess) -> None:
    engine.script(misbehaviour="ok")
    bound = sampled(engine, bound=True, max_tokens=32)

    assert all(isinstance(json.loads(str(one["text"]))["number"], int) for one in bound)


def test_the_pace_is_that_of_the_tokens_and_unknown_of_a_single_one(engine: EngineProcess) -> None:
    engine.script(misbehaviour="ok")
    paces = [one["tpot_seconds"] for one in sampled(engine, times=5, max_tokens=32)]

    assert all(isinstance(one, float) and 0.004 < one < 0.02 for one in paces)
    assert {one["tpot_seconds"] for one in sampled(engine, times=3, max_tokens=1)} == {None}


@pytest.mark.parametrize("misbehaviour", ["truncate", "fin", "invalid_json"])
def test_what_does_not_come_whole_has_no_status(engine: EngineProcess, misbehaviour: str) -> None:
    engine.script(misbehaviour=misbehaviour, every=1)

    assert [one["status"] for one in sampled(engine, times=2)] == [None, None]


@pytest.mark.parametrize(
    "wrong", [{"times": 1000}, {"tokens": 3}, {"address": "engine"}, {"max_tokens": 0}]
)
def test_an_order_out_of_bounds_is_refused(engine: EngineProcess, wrong: dict[str, object]) -> None:
    with pytest.raises(OperationError):
        sampled(engine, **wrong)
