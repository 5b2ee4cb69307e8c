"""What may pass is tried again until it has or patience ends; what will not is told at once."""

import threading

import pytest

from hotfire.patience import Patience


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Door:
    """Silent until a moment on the clock; an attempt takes a second."""

    def __init__(self, clock: Clock, *, silent_seconds: float) -> None:
        self._clock = clock
        self._opens = clock.now + silent_seconds
        self.repetitions: list[bool] = []

    def __call__(self, again: bool) -> str:
        self.repetitions.append(again)
        self._clock.now += 1
        if self._clock.now < self._opens:
            raise ConnectionRefusedError("nobody there")
        return "an answer"


def passes(error: Exception) -> float | None:
    return 0.0 if isinstance(error, OSError) else None


@pytest.fixture
def clock() -> Clock:
    return Clock()


def patience(clock: Clock, seconds: float) -> Patience:
    return Patience(outage_seconds=seconds, clock=clock, sleep=clock.sleep)


def test_door_that_opens_in_time_gives_its_answer(clock: Clock) -> None:
    door = Door(clock, silent_seconds=50)

    assert patience(clock, 60).retrying(door, door="a door", passing=passes) == "an answer"
    assert door.repetitions[:2] == [False, True]


def test_door_that_stays_shut_is_tried_until_the_time_is_over_and_once_more(clock: Clock) -> None:
    door = Door(clock, silent_seconds=1000)

    with pytest.raises(ConnectionRefusedError):
        patience(clock, 60).retrying(door, door="a door", passing=passes)

    assert 160 <= clock.now <= 162


def test_nothing_is_repeated_without_patience(clock: Clock) -> None:
    door = Door(clock, silent_seconds=10)

    with pytest.raises(ConnectionRefusedError):
        patience(clock, 60).shortened().retrying(door, door="a door", passing=passes)

    assert door.repetitions == [False]


def test_refusal_is_told_at_once(clock: Clock) -> None:
    def refusing(_again: bool) -> str:
        raise PermissionError("no") from None

    with pytest.raises(PermissionError):
        patience(clock, 60).retrying(refusing, door="a door", passing=lambda _: None)

    assert clock.slept == []


def test_asked_pause_is_kept_but_never_beyond_patience(clock: Clock) -> None:
    door = Door(clock, silent_seconds=1000)

    with pytest.raises(ConnectionRefusedError):
        patience(clock, 60).retrying(door, door="a door", passing=lambda _: 45.0)

    assert clock.slept == [45.0, 13.0]


def test_time_of_silence_is_counted_for_who_waits_meanwhile(clock: Clock) -> None:
    patient = patience(clock, 60)

    patient.retrying(Door(clock, silent_seconds=0), door="a door", passing=passes)
    before = patient.silence.seconds
    patient.retrying(Door(clock, silent_seconds=15), door="a door", passing=passes)

    assert before == 0
    assert 15 <= patient.silence.seconds <= 17


def test_door_that_may_take_its_time_is_not_silent_while_it_does(clock: Clock) -> None:
    patient = patience(clock, 60)

    def long_command(_again: bool) -> str:
        clock.sleep(30)
        return "an answer"

    patient.retrying(long_command, door="a command", passing=passes, prompt=False)

    assert patient.silence.seconds == 0


def test_silences_at_the_same_time_count_once(clock: Clock) -> None:
    silence = patience(clock, 60).silence

    silence.add(10, 25)
    silence.add(12, 26)
    silence.add(11, 24)

    assert silence.seconds == 16


def test_silence_is_told_while_it_lasts_and_when_it_ends() -> None:
    told: list[str] = []
    heard = threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        heard.set()

    def slow(_again: bool) -> str:
        assert heard.wait(10)
        return "an answer"

    patient = Patience(outage_seconds=60, tell=tell, tell_after_seconds=0.05)
    patient.retrying(slow, door="the API server", passing=passes)

    assert told[0] == "the API server does not answer; waiting, up to 60 s"
    assert told[1].startswith("the API server answers again, after ")


def test_silence_that_two_callers_meet_is_told_once() -> None:
    silence = Patience().silence

    assert [silence.is_news("a door"), silence.is_news("a door")] == [True, False]
    assert [silence.is_over("a door"), silence.is_over("a door")] == [True, False]
