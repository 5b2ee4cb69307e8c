"""What the check of cached prompts concludes from what tenants were told."""

from collections.abc import Iterator

import pytest

from hotfire import Reply
from hotfire.errors import HarnessError
from suites.security.test_cached_prompts_serve_one_tenant import (
    AT_MOST,
    SETTLED,
    cached_ratio,
    round_of,
    settle,
)


def told(cached: int | None, name: str = "a", created: int = 1) -> Reply:
    usage: dict[str, object] = {"prompt_tokens": 100}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return Reply(status=200, body={"id": name, "created": created}, usage=usage)


def test_what_is_not_told_is_none() -> None:
    assert [cached_ratio(told(cached)) for cached in (96, 0, None)] == [0.96, 0, 0]


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(status=200)])
def test_nothing_is_concluded_from_a_refusal_or_without_usage(reply: Reply) -> None:
    with pytest.raises(HarnessError, match="usage"):
        cached_ratio(reply)


def test_a_prompt_is_asked_until_it_was_cached_some_times_in_a_row() -> None:
    answers: Iterator[Reply] = iter([told(0), told(96), told(0), *[told(96)] * SETTLED])

    assert len(settle(lambda: next(answers))) == 3 + SETTLED


def test_a_prompt_that_is_never_cached_is_asked_often_enough() -> None:
    assert len(settle(lambda: told(None))) == AT_MOST


@pytest.mark.parametrize(
    ("name", "created", "replayed"), [("a", 1, True), ("b", 1, False), ("a", 2, False)]
)
def test_an_answer_that_was_given_before_is_seen(name: str, created: int, replayed: bool) -> None:
    found = round_of(lambda _: told(96), lambda _: told(0, name, created))

    assert (found.other, found.again, found.replayed) == (0.0, 0.96, replayed)
