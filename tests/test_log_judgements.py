"""What the check of request logs reads in them."""

import json

import pytest

from hotfire import Reply
from suites.observability.test_logs_tell_of_each_request import (
    Asked,
    Lines,
    Told,
    documents,
    fields_of,
    joined,
    load_seconds,
    outcomes,
)

VLLM = r"Loading weights took ([\d.]+) seconds"


def asked(id_: str, *, tokens: int = 7, seconds: float = 0.4, given: str = "") -> Asked:
    usage: dict[str, object] = {"prompt_tokens": tokens + 1, "completion_tokens": tokens}
    headers = {"x-request-id": given} if given else {}
    return Asked(id_, Reply(status=200, headers=headers, usage=usage, seconds=seconds))


def told(one: Asked, *places: str, **fields: object) -> Told:
    return Told(one, list(places), list(fields.items()))


def lines(*whole: Told) -> Lines:
    return Lines(list(whole), [], told(asked("nobody")))


def test_objects_are_found_behind_a_time_and_a_level_and_fields_within_others() -> None:
    log = 'INFO 11:30 {"a": {"b": 1}, "c": [2]}\n{broken\nno object\n[3]\n'

    [document] = documents(log)

    assert list(fields_of(document)) == [("b", 1), ("c", [2])]


def test_request_is_joined_by_any_of_its_names_and_no_other() -> None:
    mine, given, nobody = asked("1"), asked("2", given="g"), asked("3")
    log = "\n".join(json.dumps(one) for one in ({"agent": "hotfire/1"}, {"id": "g"}, {"id": "12"}))

    first, second, third = joined([mine, given, nobody], [("engine", log)])

    assert (first.places, second.places, third.places) == (["engine"], ["engine"], [])


def test_what_is_told_twice_in_one_place_is_repeated() -> None:
    found = lines(told(asked("1"), "engine", "proxy"), told(asked("2"), "engine", "engine"))

    assert found.repeated == 1
    assert found.untold == 0


def test_a_field_is_known_by_what_it_says_of_every_request() -> None:
    some = [
        told(asked(str(n), tokens=n), m="tiny", out=n, read=n + 1, v="1.2", ms=390.0)
        for n in (3, 5)
    ]

    found = lines(*some).fields({"tiny"}, {"1.2"})

    assert found["model"] == ["m"]
    assert found["version"] == ["v"]
    assert found["prompt tokens"] == ["read"]
    assert found["completion tokens"] == ["out"]
    assert found["latency"] == ["ms in 0.001 s"]


def test_a_field_that_is_wrong_once_tells_nothing() -> None:
    some = [told(asked("1", tokens=3), out=3), told(asked("2", tokens=5), out=None)]

    assert lines(*some).fields({"tiny"}, set())["completion tokens"] == []


def test_outcome_is_what_differs_between_answered_and_given_up() -> None:
    whole = [told(asked(str(n)), end="done", flag="-", took=n, id=n) for n in range(3)]
    cut = [told(asked("c"), end="gone", flag="-", took=9, id=9)]

    assert outcomes(whole, cut) == ["end"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("(3) INFO: Loading weights took 1.25 seconds", 1.25), ("ready", None)]
)
def test_time_of_loading_is_read_or_unknown(text: str, seconds: float | None) -> None:
    assert load_seconds(text, VLLM) == seconds
