"""What the checks of shadows and of retries conclude from what engines got."""

from collections import Counter

import pytest

from fixtures.own_backends import Got
from hotfire import Reply
from hotfire.errors import HarnessError
from suites.gateway.test_retries_are_bounded import Sent
from suites.gateway.test_shadow_traffic_touches_no_user import (
    MIRRORED,
    PLAIN,
    SHADOWS,
    Asked,
    Course,
    check_control,
    wrong,
)


def reply(prompt: str, *, engine: str = MIRRORED, seconds: float = 0.1) -> Reply:
    headers = {"x-served-by": engine}
    return Reply(status=200, headers=headers, text=prompt, seconds=seconds)


def asked(name: str, *, seconds: float = 0.1, plain_seconds: float = 0.1) -> Asked:
    """Return one request with a shadow and one without."""
    mirrored = {f"{MIRRORED} {name}": reply(f"{MIRRORED} {name}", seconds=seconds)}
    plain = reply(f"{PLAIN} {name}", engine=PLAIN, seconds=plain_seconds)
    return Asked(mirrored, {f"{PLAIN} {name}": plain})


def course(*copies: str, own: tuple[str, ...] = (), plain_seconds: float = 0.1) -> Course:
    everybody = {name: asked(name, plain_seconds=plain_seconds) for name in SHADOWS}
    return Course(everybody, Counter(copies), Counter(own))


def sent(*got: Got) -> Sent:
    return Sent({one.prompt: reply(one.prompt) for one in got}, list(got))


def test_answer_is_right_by_its_engine_and_its_words() -> None:
    assert not wrong({"a": reply("a")}, MIRRORED)
    assert wrong({"a": reply("b")}, MIRRORED).total() == 1
    assert wrong({"a": reply("a", engine="shadow")}, MIRRORED) == {"shadow said something else": 1}
    assert wrong({"a": Reply(status=503)}, MIRRORED) == {"503": 1}


def test_copies_are_due_only_of_a_shadow_that_answers() -> None:
    assert course().due == {"mirrored sound": 1, "mirrored slow": 1}


def test_copy_of_what_has_a_shadow_is_neither_repeated_nor_astray() -> None:
    found = course("mirrored sound", own=("mirrored sound",))

    assert not found.repeated
    assert not found.astray


def test_request_that_reaches_an_engine_twice_is_repeated() -> None:
    assert course("mirrored sound", "mirrored sound").repeated == {"mirrored sound"}
    assert course(own=("mirrored failing",) * 2).repeated == {"mirrored failing"}


@pytest.mark.parametrize(
    "found", [course("plain slow"), course(plain_seconds=1.2)], ids=["copied", "late"]
)
def test_check_of_shadows_doubts_itself_where_what_has_none_is_not_well(found: Course) -> None:
    check_control(course())

    with pytest.raises(HarnessError):
        check_control(found)


def test_answers_are_late_that_took_as_long_as_the_slow_shadow() -> None:
    found = asked("slow", seconds=1.6)

    assert found.late == 1
    assert found.slower_seconds == pytest.approx(1.5)


def test_retries_are_what_came_again() -> None:
    found = sent(Got("faulty 1", 0, ()), Got("faulty 1", 0, ()), Got("steady 2", 6, ()))

    assert found.retries == 1
    assert found.faulty == {"faulty 1"}
    assert not found.begun_again


def test_answer_that_was_begun_twice_is_told() -> None:
    assert sent(Got("faulty 1", 3, ()), Got("faulty 1", 3, ())).begun_again == {"faulty 1"}
