"""Both readers, the compiled one and its twin in Python, read the same from the same bytes."""

import errno
import gc
import itertools
import select
import shutil
import socket
import struct
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.answer.gaps import Gaps
from hotfire.traffic.wire import reader
from hotfire.traffic.wire.plain import Template
from hotfire.traffic.wire.reader import COMPILED, PYTHON, READ, TIMES, Implementation, Missed
from hotfire.waiting import pause, until
from tests.readers import KITS

BEFORE = b'{"choices":[{"index":0,"delta":{"content":"'
AFTER = b'"},"finish_reason":null}]}'
TEMPLATE = Template(BEFORE, AFTER, thinking=False)
NOW = 1  # in the past: poll looks once and returns
SECOND = 1_000_000_000


def event(text: bytes) -> bytes:
    return b"data: " + BEFORE + text + AFTER + b"\n\n"


def chunk(body: bytes, form: bytes = b"%x\r\n%b\r\n") -> bytes:
    return form % (len(body), body)


TOKEN = chunk(event(b" a"))


@dataclass
class World:
    """One reader on one side of a connection; the test writes on the other."""

    kit: Implementation
    epoll: select.epoll
    reader: reader.Reader
    near: Any
    far: socket.socket

    def attach(self, plain: Template | None = TEMPLATE) -> Gaps:
        """Read on in a stream whose first token came now, or wait for a stream's begin."""
        gaps, now = self.kit.gaps(), time.monotonic_ns()
        if plain:
            gaps.note(now)
        self.reader.attach(self.near, gaps, plain, now)
        return gaps

    def send(self, data: bytes) -> None:
        """Write, and wait until it has come."""
        self.far.sendall(data)
        select.select([self.near], [], [], 20)

    def poll(self) -> list[Missed]:
        return self.reader.poll(NOW)


def world(kit: Implementation, *, lazy: bool = False) -> Iterator[World]:
    with socket.create_server(("127.0.0.1", 0)) as server, select.epoll() as epoll:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
        with near, far:
            near.setblocking(False)
            near.setsockopt(socket.SOL_SOCKET, TIMES, 1)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            epoll.register(near.fileno(), READ)
            made = kit.reader(epoll, tick_ns=SECOND, lazy=lazy)
            made.epoch_ns = time.time_ns() - time.monotonic_ns()
            yield World(kit, epoll, made, near, far)


@pytest.fixture(params=KITS, ids=lambda kit: kit.name)
def one(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from world(request.param)


@pytest.fixture(params=KITS, ids=lambda kit: kit.name)
def lazy(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from world(request.param, lazy=True)


def test_the_compiled_reader_is_there_where_a_compiler_is() -> None:
    include = Path(sysconfig.get_paths()["include"], "Python.h")
    if not (shutil.which("cc") and include.exists()):
        pytest.skip("no C compiler, or no headers of this Python")
    assert COMPILED is not None, "reinstall hotfire: its C part is missing"
    assert (reader.implementation("reactor"), reader.implementation("reactor-python")) == (
        COMPILED,
        PYTHON,
    )


def test_a_plain_token_is_noted_and_not_handed_over(one: World) -> None:
    gaps = one.attach()
    before = time.monotonic_ns()
    one.send(TOKEN)

    assert one.poll() == []
    assert len(gaps) == 1
    assert gaps.last_ns is not None
    assert before <= gaps.last_ns <= time.monotonic_ns()


def test_a_token_has_the_time_of_its_arrival(one: World) -> None:
    gaps = one.attach()
    one.poll()
    one.send(TOKEN)
    sent = time.monotonic_ns()
    pause(0.1, why="the reader is to read late")
    one.poll()

    assert gaps.last_ns is not None
    assert abs(gaps.last_ns - sent) < 50_000_000


def test_pauses_are_rounded_and_bounded(one: World) -> None:
    gaps = one.kit.gaps()
    assert (gaps.last_ns, list(gaps.us())) == (None, [])
    for now_ns in (5_000, 6_499, 8_000, 7_000, 10**16):
        gaps.note(now_ns)

    assert list(gaps.us()) == [1, 2, 0, 2**31 - 1]
    assert (len(gaps), gaps.last_ns, gaps.us().typecode) == (4, 10**16, "i")


def test_many_tokens_in_one_read_are_each_noted(one: World) -> None:
    gaps = one.attach()
    one.send(TOKEN * 3 + chunk(event(b" b") + event(b"\\u00e9")))

    assert one.poll() == []
    assert len(gaps) == 5


@pytest.mark.parametrize(
    "data",
    [
        TOKEN + chunk(event(b" a").replace(b"null", b'"stop"')),
        TOKEN[:-1],
        TOKEN + b"0\r\n\r\n",
        chunk(event(b"")),
        chunk(event(b'"')),
        chunk(event(b"\n")),
        chunk(event(b"\\")),
        chunk(event(b"\\x")),
        chunk(event(b"\\u12g4")),
        chunk(event(b"\\\0")),
        chunk(b"data: " + BEFORE),
        chunk(b": keep-alive\n\n"),
        b"0" + TOKEN,
        TOKEN.replace(b"\r\n", b";a=b\r\n", 1),
        b"aB\r\n" + event(b"x" * (0xAB - len(event(b"")))) + b"\r\n",
        TOKEN[:-2] + b"x\n",
        TOKEN[:-2] + b"\rx",
        b"-1\r\n",
        b"\r\n",
        b"fffffffffffffffff\r\n",
    ],
)
def test_anything_else_is_handed_over_as_it_came(one: World, data: bytes) -> None:
    gaps = one.attach()
    one.send(data)

    ((fd, events, got, at_ns),) = one.poll()

    assert (fd, events, got, len(gaps)) == (one.near.fileno(), READ, data, 0)
    assert gaps.last_ns is not None
    assert gaps.last_ns <= at_ns <= time.monotonic_ns()


def test_after_that_the_stream_is_the_callers(one: World) -> None:
    gaps = one.attach()
    one.send(b"?")
    one.poll()
    one.send(TOKEN)

    assert one.poll() == [(one.near.fileno(), READ, None, 0)]
    assert (one.near.recv(100_000), len(gaps)) == (TOKEN, 0)


def test_a_file_that_is_not_attached_is_only_told_of(one: World) -> None:
    one.attach()
    one.reader.detach(one.near.fileno())
    one.reader.detach(one.near.fileno())
    one.reader.detach(10**6)
    one.send(TOKEN)

    assert one.poll() == [(one.near.fileno(), READ, None, 0)]


def test_the_peers_end_is_no_bytes(one: World) -> None:
    one.attach()
    one.far.shutdown(socket.SHUT_WR)

    ((fd, _, data, _),) = one.poll()
    assert (fd, data) == (one.near.fileno(), b"")


def test_a_reset_is_told_by_its_events_or_its_number(one: World) -> None:
    one.attach()
    one.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.far.close()

    ((_, events, data, number),) = one.poll()
    assert data is None
    assert events != READ or number == errno.ECONNRESET


def test_it_waits_until_the_moment_and_no_longer(one: World) -> None:
    one.attach()
    begun = time.monotonic_ns()

    assert one.reader.poll(begun + SECOND // 20) == []
    assert begun + SECOND // 20 <= time.monotonic_ns() < begun + 10 * SECOND


def test_plain_tokens_do_not_end_the_wait(one: World) -> None:
    gaps = one.attach()
    timer = threading.Timer(0.05, one.far.sendall, [TOKEN])
    timer.start()
    begun = time.monotonic_ns()

    assert one.reader.poll(begun + SECOND // 4) == []
    assert time.monotonic_ns() >= begun + SECOND // 4
    assert len(gaps) == 1


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def test_a_head_waits_for_what_follows_it(one: World) -> None:
    one.attach(None)
    one.send(HEAD)
    threading.Timer(0.05, one.far.sendall, [TOKEN]).start()
    begun = time.monotonic_ns()

    (first, second) = one.reader.poll(begun + 20 * SECOND)
    assert time.monotonic_ns() < begun + 10 * SECOND
    assert (first[2], second[2]) == (HEAD, TOKEN)
    assert first[3] + 20_000_000 < second[3]


def test_a_head_waits_no_longer_than_to_the_moment(one: World) -> None:
    one.attach(None)
    one.send(HEAD)
    until_ns = time.monotonic_ns() + SECOND // 20

    assert [data for _, _, data, _ in one.reader.poll(until_ns)] == [HEAD]
    assert time.monotonic_ns() >= until_ns


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"x", HEAD[:-1], HEAD.replace(b"200", b"503"), HEAD + HEAD, TOKEN, b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n", b"",
    ],
)  # fmt: skip
def test_anything_else_than_a_head_is_urgent(lazy: World, data: bytes) -> None:
    lazy.attach(None)
    if data:
        lazy.send(data)
    else:
        lazy.far.shutdown(socket.SHUT_WR)
    begun = time.monotonic_ns()

    assert [got for _, _, got, _ in lazy.reader.poll(begun + 60 * SECOND)] == [data]
    assert time.monotonic_ns() < begun + 30 * SECOND


def test_a_lazy_reader_waits_with_the_end_of_a_stream(lazy: World) -> None:
    gaps = lazy.attach()
    until_ns = time.monotonic_ns() + SECOND // 4
    lazy.send(b"?")
    threading.Timer(0.05, lazy.far.sendall, [TOKEN]).start()

    # What comes after it is no token to be noted before it.
    assert [data for _, _, data, _ in lazy.reader.poll(until_ns)] == [b"?", TOKEN]
    assert time.monotonic_ns() >= until_ns
    assert len(gaps) == 0


def test_another_reader_does_not(one: World) -> None:
    one.attach()
    one.send(b"?")
    begun = time.monotonic_ns()

    assert len(one.reader.poll(begun + 60 * SECOND)) == 1
    assert time.monotonic_ns() < begun + 30 * SECOND


def test_even_a_lazy_reader_hurries_with_the_peers_end(lazy: World) -> None:
    lazy.attach()
    lazy.far.shutdown(socket.SHUT_WR)
    begun = time.monotonic_ns()

    assert [data for _, _, data, _ in lazy.reader.poll(begun + 60 * SECOND)] == [b""]
    assert time.monotonic_ns() < begun + 30 * SECOND


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
def test_ticks_tell_how_late_they_came(kit: Implementation) -> None:
    with select.epoll() as epoll:
        ticking = kit.reader(epoll, tick_ns=SECOND // 100, lazy=False)
        ticking.poll(time.monotonic_ns() + SECOND // 10)
        lags_us = ticking.lags_us()

        assert 1 <= len(lags_us) <= 10
        assert all(0 <= lag_us < 5_000_000 for lag_us in lags_us)
        assert ticking.lags_us() == []


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
def test_a_closed_epoll_is_an_error(kit: Implementation) -> None:
    epoll = select.epoll()
    broken = kit.reader(epoll, tick_ns=SECOND, lazy=False)
    epoll.close()
    with pytest.raises((OSError, ValueError)):
        broken.poll(NOW)


def test_nothing_comes_before_what_came_earlier(one: World) -> None:
    one.send(TOKEN)
    pause(0.02, why="the clocks are compared no better than to some microseconds")
    gaps = one.attach()
    floor_ns = gaps.last_ns
    one.poll()

    assert floor_ns is not None
    assert gaps.last_ns is not None
    assert (len(gaps), gaps.last_ns >= floor_ns) == (1, True)


def test_a_step_of_the_clock_moves_no_token_out_of_its_round(one: World) -> None:
    gaps = one.attach()
    one.reader.epoch_ns += 3600 * SECOND
    floor = gaps.last_ns
    one.send(TOKEN)
    one.poll()

    assert floor is not None
    assert gaps.last_ns is not None
    assert floor <= gaps.last_ns <= time.monotonic_ns()


@pytest.mark.skipif(COMPILED is None, reason="needs a C compiler at install")
class TestCompiled:
    def test_it_takes_only_its_own_gaps(self) -> None:
        assert COMPILED is not None
        for one in world(COMPILED):
            with pytest.raises(TypeError):
                one.reader.attach(one.near, PYTHON.gaps(), TEMPLATE, 0)

    def test_a_template_without_bytes_is_refused(self) -> None:
        assert COMPILED is not None
        for one in world(COMPILED):
            wrong: Any = Template(b"a", b"b", thinking=False)
            wrong.before = "text"
            with pytest.raises(TypeError):
                one.reader.attach(one.near, one.kit.gaps(), wrong, 0)

    def test_a_second_thread_is_refused_while_it_waits(self) -> None:
        assert COMPILED is not None
        for one in world(COMPILED):
            thread = threading.Thread(
                target=one.reader.poll, args=(time.monotonic_ns() + 60 * SECOND,)
            )
            thread.start()
            until(partial(refused, one), within_seconds=20, what="a refusal")
            one.send(b"?")  # ends the wait: nothing is attached
            thread.join(20)
            assert not thread.is_alive()

    def test_nothing_is_kept_of_what_has_ended(self) -> None:
        assert COMPILED is not None
        plain = Template(BEFORE, AFTER, thinking=False)
        counts = []
        for _ in range(2):
            for one in world(COMPILED):
                one.reader.attach(one.near, one.kit.gaps(), plain, 0)
                for _ in range(500):
                    one.send(TOKEN)
                    one.poll()
                    one.reader.attach(one.near, one.kit.gaps(), plain, 0)
                    one.send(b"?" * 1000)
                    one.poll()
            del one
            gc.collect()
            counts.append((sys.getrefcount(plain.before), sys.getrefcount(plain.after)))
        assert counts[0] == counts[1]


def refused(one: World) -> bool:
    try:
        one.reader.poll(NOW)
    except RuntimeError:
        return True
    return False


TEXTS = st.sampled_from([b" a", b"\xc3\xa9", b"\\n", b"\\u00e9", b'\\"', b"x" * 300, b"\xff"])
PLAIN = st.lists(TEXTS.map(event), min_size=1, max_size=3).map(b"".join)
STRANGE = st.sampled_from(
    [b": hi\n\n", b"data: [DONE]\n\n", event(b'"'), event(b""), event(b"a")[:-1], b"data: x\r\n\n"]
)
FORMS = st.sampled_from([b"%x\r\n%b\r\n"] * 5 + [b"%X\r\n%b\r\n", b"0%x\r\n%b\r\n"])
WIRES = st.lists(st.tuples(st.one_of(PLAIN, PLAIN, STRANGE), FORMS), min_size=1, max_size=6)


@pytest.mark.skipif(COMPILED is None, reason="needs a C compiler at install")
@given(WIRES, st.lists(st.integers(0, 2000), max_size=4), st.lists(st.binary(max_size=3)))
def test_both_read_the_same(
    wire: list[tuple[bytes, bytes]], cuts: list[int], noise: list[bytes]
) -> None:
    data = b"".join(chunk(body, form) for body, form in wire)
    for at, more in zip(cuts, noise, strict=False):
        data = data[:at] + more + data[at + len(more) :]
    places = sorted({0, len(data), *(at for at in cuts if at < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    told = []
    for kit in KITS:
        for one in world(kit):
            seen: list[Any] = []
            for piece in pieces:
                gaps = one.attach()
                one.send(piece)
                missed = one.poll()
                seen.append(([(fd != 0, *rest[:2]) for fd, *rest in missed], len(gaps)))
            told.append(seen)
    assert told[0] == told[1]
