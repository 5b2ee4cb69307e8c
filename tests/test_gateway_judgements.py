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
    broken,
    check_control,
    mixed_up,
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
    assert not mixed_up({"a": reply("a")}, MIRRORED)
    assert mixed_up({"a": reply("b")}, MIRRORED).total() == 1
    assert mixed_up({"a": reply("a", engine="shadow")}, MIRRORED).total() == 1


def test_answer_that_broke_is_lost_and_not_mixed_up() -> None:
    lost = {"a": Reply(status=503)}

    assert broken(lost) == {"503": 1}
    assert not mixed_up(lost, MIRRORED)


def test_copies_are_due_only_of_a_shadow_that_answers() -> None:
    assert course().due == {"mirrored sound": 1, "mirrored slow": 1}


def test_copy_of_what_has_a_shadow_is_neither_repeated_nor_astray() -> None:
    found = course("mirrored sound", own=("mirrored sound",))

    assert not found.repeated
    assert not found.astray


def test_request_that_reaches_an_engine_twice_is_repeated() -> None:
    assert course("mirrored sound", "mirrored sound").repeated == {"mirrored sound"}
    assert course(own=("mirrored failing",) * 2).repeated == {"mirrored failing"}


def test_copy_of_what_has_no_shadow_is_the_check_s_doubt() -> None:
    with pytest.raises(HarnessError, match="copied"):
        check_control(course("plain slow"))


def test_one_late_answer_without_a_shadow_is_an_accident_and_many_are_a_doubt() -> None:
    everybody = course().asked
    one = {**everybody, "slow": asked("slow", plain_seconds=1.2)}

    check_control(Course(one, Counter(), Counter()))
    with pytest.raises(HarnessError, match="4 answers took more than 1 s"):
        check_control(course(plain_seconds=1.2))


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
