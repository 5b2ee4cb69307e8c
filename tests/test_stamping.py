"""What arrives is stamped from the first byte on; a machine without stamps is not waited for."""

from collections.abc import Iterator
from socket import AF_INET, SOCK_DGRAM, SOL_SOCKET, socket

import pytest

from hotfire.traffic.wire import stamping
from hotfire.traffic.wire.clock import NANO
from hotfire.traffic.wire.reader import TIME, TIMES, TIMES_BYTES
from hotfire.waiting import pause

LATE_SECONDS = 0.2


@pytest.fixture
def keeper() -> Iterator[socket]:
    with stamping.keep() as found:
        yield found


def test_a_first_datagram_that_is_read_late_has_the_time_of_its_arrival(keeper: socket) -> None:
    with socket(AF_INET, SOCK_DGRAM) as other:
        other.setsockopt(SOL_SOCKET, TIMES, 1)
        other.settimeout(5)
        other.bind(("127.0.0.1", 0))
        keeper.connect(other.getsockname())
        stamps = []
        for late in (0.0, LATE_SECONDS):
            keeper.send(b"x")
            pause(late, why="it is to be read late")
            _, told, _, _ = other.recvmsg(1, TIMES_BYTES)
            seconds, rest = TIME(told[0][2])
            stamps.append(seconds * NANO + rest)

    assert 0 < stamps[1] - stamps[0] < LATE_SECONDS * NANO


def test_a_kernel_that_stamps_nothing_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = []
    monkeypatch.setattr(stamping, "_WITHIN_NS", 1_000_000)
    monkeypatch.setattr(stamping, "_is_stamped_on_arrival", lambda _: looks.append(1))

    with stamping.keep() as found:
        assert found.getsockname()[0] == "127.0.0.1"
    assert looks


def test_a_network_that_is_down_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: socket) -> bool:
        raise OSError("network is unreachable")

    monkeypatch.setattr(stamping, "_is_stamped_on_arrival", unreachable)

    with stamping.keep() as found:
        assert found.fileno() >= 0
