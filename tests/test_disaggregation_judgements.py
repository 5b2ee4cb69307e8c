"""What the checks of prefill and decode pods conclude from what they are told."""

from pathlib import Path

import pytest

from fixtures.disaggregation import became, fresh_prompt, is_answered, prompt_tokens
from hotfire import Reply
from hotfire.doctor.disaggregation import disaggregation
from hotfire.doctor.permissions import Needs, Unit
from hotfire.doctor.site import Site
from hotfire.measure.history import FailureClass
from suites.disaggregation.test_a_lost_decode_pod_surfaces_as_an_error import (
    is_blamed_on_the_client,
    is_silent,
)
from tests.fake_api import connect, serving
from tests.foreign_cluster import foreign_cluster
from tests.test_rag_judgements import target

EMPTY = Reply(status=200, failure=FailureClass.MALFORMED, detail="no output")


@pytest.mark.parametrize(
    "silent",
    [
        EMPTY,
        Reply(status=200),
        Reply(status=200, failure=FailureClass.TRUNCATED_NO_DONE),
        Reply(status=204),
    ],
)
def test_a_success_without_an_answer_is_silent(silent: Reply) -> None:
    assert is_silent(silent)


@pytest.mark.parametrize(
    "aloud",
    [
        Reply(status=200, text="the", finish_reason="length"),
        Reply(status=502, failure=FailureClass.HTTP_5XX),
        Reply(status=200, failure=FailureClass.SSE_ERROR),
        Reply(status=200, failure=FailureClass.ABORTED),
        Reply(status=200, error="reset", failure=FailureClass.RESET_MIDSTREAM),
        Reply(error="connect", failure=FailureClass.CONNECT),
    ],
)
def test_an_answer_and_an_error_that_clients_see_are_not_silent(aloud: Reply) -> None:
    assert not is_silent(aloud)


@pytest.mark.parametrize(
    ("status", "blamed"), [(400, True), (404, True), (429, False), (502, False)]
)
def test_a_refusal_that_nobody_tries_again_blames_the_client(status: int, blamed: bool) -> None:
    assert is_blamed_on_the_client(Reply(status=status)) is blamed


def test_what_became_of_a_request_is_told_in_words() -> None:
    assert became(Reply(status=200, text="the")) == "answered"
    assert became(Reply(status=200)) == "200, empty"
    assert became(Reply(status=502, failure=FailureClass.HTTP_5XX)) == "502 http_5xx"


def test_no_text_is_no_answer() -> None:
    assert not is_answered(Reply(status=200, finish_reason="stop"))


def test_tokens_that_are_not_told_are_none() -> None:
    assert prompt_tokens(Reply(usage={"prompt_tokens": 7})) == 7
    assert prompt_tokens(Reply(usage={"prompt_tokens": "7"})) == 0
    assert prompt_tokens(Reply()) == 0


def test_no_prompt_is_like_another() -> None:
    assert fresh_prompt() != fresh_prompt()


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("", []),
        (
            "claims: [disaggregation]\n",
            [
                ("disaggregation is claimed, and stack.roles.prefill is not set", {"DIS-001"}),
                ("disaggregation is claimed, and stack.roles.decode is not set", {"DIS-001"}),
            ],
        ),
        ("claims: [prefill-admission]\n", [("prefill-admission is claimed", set())]),
        ("claims: [prefill-admission]\ndisaggregation: {prefills_per_decode: 2}\n", []),
    ],
)
def test_the_doctor_misses_what_the_checks_ask_for(
    tmp_path: Path, told: str, seen: list[tuple[str, set[str]]]
) -> None:
    nothing = Needs(api=frozenset(), fixtures=frozenset())
    unit = Unit(id="DIS-001", path=Path("x"), features=frozenset({"disaggregation"}))
    with serving(foreign_cluster()) as address:
        site = Site(
            profile=target(tmp_path, told),
            cluster=connect(address),
            units={unit: nothing},
            every_run=nothing,
        )

        assert [(one.seen, set(one.ids)) for one in disaggregation(site)] == seen
