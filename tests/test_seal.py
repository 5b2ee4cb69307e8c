"""Who knows the token is heard; nobody else is, and nobody twice."""

import pytest

from hotfire.errors import ProfileError
from hotfire.traffic.process import seal
from hotfire.traffic.process.seal import NO_SESSION, SESSION_BYTES, Seal, Side

TOKEN = "t" * 32
PEER = b"worker-1"
SESSION = b"s" * SESSION_BYTES


def master(token: str = TOKEN, session: bytes = SESSION) -> Seal:
    return Seal(token, Side.MASTER, session=session)


def worker(token: str = TOKEN) -> Seal:
    return Seal(token, Side.WORKER)


def test_master_and_worker_of_one_token_hear_each_other() -> None:
    lead, hand = master(), worker()

    first = lead.message(PEER, hand.frame(PEER, b"here"))
    order = hand.message(PEER, lead.frame(PEER, b"go"))
    second = lead.message(PEER, hand.frame(PEER, b"rows"))

    assert (first, order, second) == ((b"here", False), (b"go", True), (b"rows", True))


def test_another_token_proves_nothing_to_either_side() -> None:
    assert master().message(PEER, worker("x" * 32).frame(PEER, b"here")) is None
    assert worker().message(PEER, master("x" * 32).frame(PEER, b"go")) is None


def test_a_message_is_taken_once() -> None:
    lead, frame = master(), worker().frame(PEER, b"rows")

    assert lead.message(PEER, frame)
    assert lead.message(PEER, frame) is None


def test_a_message_of_another_session_is_not_taken() -> None:
    hand, former = worker(), master(session=b"f" * SESSION_BYTES)
    hand.message(PEER, former.frame(PEER, b"go"))

    assert master().message(PEER, hand.frame(PEER, b"rows")) is None


@pytest.mark.parametrize("place", [0, 31, 32, 47, 48, 60])
def test_a_changed_byte_is_noticed(place: int) -> None:
    frame = bytearray(worker().frame(PEER, b"thousand rows"))
    frame[place] ^= 1

    assert master().message(PEER, bytes(frame)) is None


@pytest.mark.parametrize("frame", [b"", b"short", bytes(200), NO_SESSION])
def test_a_frame_of_any_shape_is_looked_at_without_harm(frame: bytes) -> None:
    assert master().message(PEER, frame) is None


def test_what_one_side_said_cannot_be_sent_back_to_it_or_for_another_worker() -> None:
    lead, hand = master(), worker()

    assert lead.message(PEER, lead.frame(PEER, b"go")) is None
    assert lead.message(b"worker-2", hand.frame(PEER, b"here")) is None


def test_a_short_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(seal.VARIABLE, "guessed")

    with pytest.raises(ProfileError, match="32 characters at least"):
        seal.given_token()
