"""What arrives is stamped from the first byte on; a machine without stamps is not waited for."""

import os
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
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


def keep_in_real_time(looks: list[bool], told: Connection) -> None:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with stamping.keep():
        told.send(looks)


# The first of this file: later ones find the kernel stamping still.
def test_a_load_of_real_time_priority_does_not_keep_the_kernel_from_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        pytest.skip("real-time priority is not permitted here")
    looks: list[bool] = []
    look = stamping._is_stamped_on_arrival

    def noted(keeper: socket) -> bool:
        looks.append(look(keeper))
        return looks[-1]

    monkeypatch.setattr(stamping, "_is_stamped_on_arrival", noted)
    fork = get_context("fork")
    told, tells = fork.Pipe(duplex=False)
    child = fork.Process(target=keep_in_real_time, args=(looks, tells))
    child.start()
    child.join(30)

    assert told.poll(0), f"the process ended with {child.exitcode}"
    assert told.recv()[-1], "the kernel had not begun when the load did"


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
