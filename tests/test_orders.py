"""Orders are taken when they are due, wake whom they must, and can be taken back until then."""

import os
import time
from collections.abc import Iterator

import pytest

from hotfire.traffic.wire.orders import NEVER_NS, Order, Orders
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.request import Requests

SECOND = 1_000_000_000


@pytest.fixture
def orders() -> Iterator[Orders]:
    plan = LoadPlan(url="http://127.0.0.1:1", model="m", duration_seconds=1)
    made = Orders(Requests(plan), look_ns=SECOND)
    yield made
    made.close()


def put(orders: Orders, *in_seconds: float) -> None:
    now = time.monotonic_ns()
    for seq, seconds in enumerate(in_seconds):
        orders.put(Order(seq, now + round(seconds * SECOND), seq))


def roused(orders: Orders) -> bool:
    try:
        return os.eventfd_read(orders.wake) > 0
    except BlockingIOError:
        return False


def test_what_is_due_is_taken_in_its_order_and_written(orders: Orders) -> None:
    put(orders, -2, -1, 100)

    taken = [orders.take_due(), orders.take_due(), orders.take_due()]

    assert [order and order.seq for order in taken] == [0, 1, None]
    assert all(order is None or order.data.startswith(b"POST ") for order in taken)
    assert time.monotonic_ns() + 50 * SECOND < orders.due_ns < NEVER_NS


def test_with_none_left_nothing_is_due(orders: Orders) -> None:
    put(orders, -1)
    orders.take_due()

    assert orders.take_due() is None
    assert orders.due_ns == NEVER_NS


def test_what_is_due_before_the_next_look_ends_the_wait(orders: Orders) -> None:
    put(orders, 0.5)
    assert roused(orders)


def test_what_is_due_later_ends_no_wait(orders: Orders) -> None:
    put(orders, 100)
    assert not roused(orders)


def test_who_is_awake_need_not_be_woken(orders: Orders) -> None:
    orders.awake = True
    put(orders, -1)
    assert not roused(orders)


def test_what_is_recalled_is_as_if_it_had_never_been(orders: Orders) -> None:
    put(orders, -1, 50, 100)

    assert orders.recall(time.monotonic_ns()) == 2
    assert orders.put_count == 1
    assert [order.seq for order in orders.close()] == [0]
    # For the fixture, which closes it again.
    orders.wake = os.eventfd(0)


def test_there_may_be_nothing_to_recall(orders: Orders) -> None:
    assert orders.recall(0) == 0
