"""Whatever an agent is asked, and however, it answers with a reason and lives on."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

import pytest

from hotfire.agent import door
from hotfire.waiting import until
from tests.agent.world import Agent


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    agent = Agent(tmp_path_factory.mktemp("agent"))
    agent.start()
    yield agent
    agent.end(SIGTERM)


def connection(agent: Agent) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(10)
    found.connect(str(agent.folder / "agent.sock"))
    return found


def told(agent: Agent, raw: bytes) -> dict[str, object]:
    """Send bytes as they are, and no more, and return the answer."""
    with connection(agent) as asking:
        # It may have answered, that this is too long, before the end of it.
        with suppress(BrokenPipeError):
            asking.sendall(raw)
            asking.shutdown(socket.SHUT_WR)
        reply: dict[str, object] = json.loads(asking.makefile("rb").readline())
    return reply


def request(**facts: object) -> bytes:
    order = {"op": "disk.fill", "id": "u-1", "ttl_seconds": 5, "path": "/nowhere"}
    return json.dumps({**order, **facts}).encode() + b"\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"\n",
        b"{\n",
        b"\xff\xfe\n",
        b"null\n",
        b"[1]\n",
        b"{}\n",
        b'{"op": 1}\n',
        b'{"op": ["disk.fill"]}\n',
        b'{"op": "ping"',
        b"[" * 100_000 + b"\n",
        b'{"op": "' + b"x" * (3 << 20),
        request(op="rm"),
        request(op="entry", id=None),
        request(op="renew", id={"a": 1}),
        request(op="heal", id=[1]),
        request(ttl_seconds="NaN"),
        request(ttl_seconds=[]),
        request(id=7 * ["x"]),
        request(path=7),
        request(free_bytes={}, at_most_bytes=10**400),
        request(op="net.block", **{"and": 5}),
        request(op="link.silent_loss", links={"a": 1}),
        request(op="process.signal", signal=["STOP"]),
        request(
            op="process.signal", signal="STOP", container_id="x" * 20, pod_uid="p", process="("
        ),
    ],
)
def test_a_request_that_makes_no_sense_gets_one_typed_answer(agent: Agent, raw: bytes) -> None:
    reply = told(agent, raw)

    assert reply["ok"] is False
    assert str(reply["error"]).startswith(f"{reply['type']}: ")
    assert agent.call("list") == []


@pytest.mark.parametrize(("op", "code"), [("ping", 0), ("rm", 1)])
def test_the_command_prints_the_answer_and_says_by_its_code_whether_it_is_one(
    agent: Agent, op: str, code: int
) -> None:
    told = agent.command(op)

    assert (told.returncode, told.stderr) == (code, "")
    assert json.loads(told.stdout) == agent.reply(op)


def test_who_drops_the_connection_does_not_end_the_agent(agent: Agent) -> None:
    for raw in (b"", b'{"op"', b'{"op": "ping"}\n'):
        with connection(agent) as asking:
            asking.sendall(raw)

    assert agent.call("ping")["open"] == 0


def test_a_slow_sender_is_cut_off_in_time_though_it_never_pauses_long(agent: Agent) -> None:
    began = time.monotonic()

    with connection(agent) as asking:
        asking.settimeout(0.05)
        reply = b""
        while not reply and time.monotonic() < began + 10:
            try:
                asking.sendall(b" ")
                reply = asking.recv(1000)
            except TimeoutError:
                continue

    assert b"no whole line within 2 s" in reply
    assert time.monotonic() - began < 5


def test_slow_senders_delay_the_others_for_two_seconds_each(agent: Agent) -> None:
    began = time.monotonic()

    with connection(agent), connection(agent):
        reply = agent.call("ping")

    assert reply["open"] == 0
    assert time.monotonic() - began < 10


def test_an_agent_whose_socket_was_removed_listens_again(agent: Agent) -> None:
    (agent.folder / "agent.sock").unlink()

    agent.await_socket()

    assert agent.call("ping")["open"] == 0


def test_a_door_without_room_for_its_socket_opens_when_there_is_some(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "agent.sock"
    opening = door.Door(path)
    before = opening.answer_one(lambda _: "nobody")
    path.parent.mkdir()
    opening.answer_one(lambda _: "nobody")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(door.ask, path, "{}")
        until(lambda: opening.answer_one(lambda _: "here"), within_seconds=10, what="a caller")
        reply = json.loads(asked.result(10))
    opening.close()

    assert not before
    assert reply == {"ok": True, "result": "here"}
    assert not path.exists()
