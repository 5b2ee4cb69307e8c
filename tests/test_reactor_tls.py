"""The load speaks TLS to whom it should, and to nobody else."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hotfire.lab.machine.pki import Authority
from hotfire.measure.history import FailureClass, Request
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import LoadPlan
from tests.engine_process import EngineProcess, running_engine
from tests.patience import PATIENT
from tests.test_reactor import driving, one


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as process:
        yield process


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ca_file(authority: Authority, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate)
    return str(path)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def front(context: ssl.SSLContext, backend: int) -> Iterator[str]:
    """Terminate TLS before the engine, as a gateway does."""

    def serve(client: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(client, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", backend)) as plain,
        ):
            threading.Thread(target=pump, args=(secure, plain), daemon=True).start()
            pump(plain, secure)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def url(authority: Authority, engine: EngineProcess, tmp_path: Path) -> Iterator[str]:
    pair = authority.issue("gateway.example.org", addresses=("127.0.0.1",))
    (tmp_path / "key").write_bytes(pair.key)
    (tmp_path / "certificate").write_bytes(pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with front(context, engine.port) as address:
        yield address


def test_a_stream_through_tls_is_read_as_in_plain_text(url: str, ca_file: str) -> None:
    with driving(url, ca_file=ca_file) as driver:
        for _ in range(3):
            driver.send()
            driver.finish()

    rows = driver.rows
    assert [row.error_class for row in rows] == [None] * 3
    assert [row.conn_reused for row in rows] == [False, True, True]
    assert [len(row.gaps_us) for row in rows] == [7] * 3


def test_the_handshake_is_part_of_the_connect_time(url: str, ca_file: str) -> None:
    row = one(url, ca_file=ca_file)

    assert row.connect_ns is not None
    assert row.send_ns is not None
    assert row.sched_ns < row.send_ns
    assert row.connect_ns <= row.send_ns - row.sched_ns


def failed(url: str, **values: Any) -> Request:  # noqa: ANN401 - fields of the plan
    row = one(url, **values)
    assert row.error_class is FailureClass.TLS
    assert row.send_ns is None
    return row


def test_an_unknown_authority_is_a_tls_failure(url: str) -> None:
    assert "certificate verify failed" in failed(url).detail


def test_another_name_is_a_tls_failure(url: str, ca_file: str) -> None:
    assert "mismatch" in failed(url, ca_file=ca_file, server_name="other.example.org").detail


def test_a_peer_that_speaks_no_tls_is_a_tls_failure(engine: EngineProcess, ca_file: str) -> None:
    failed(engine.url.replace("http:", "https:"), ca_file=ca_file)


def test_a_handshake_that_never_ends_is_a_tls_failure(ca_file: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"

        failed(url, ca_file=ca_file, connect_seconds=0.3)


def test_the_load_process_speaks_tls_too(url: str, ca_file: str, tmp_path: Path) -> None:
    for client in ("reactor", "geventhttpclient"):
        plan = LoadPlan(
            url=url, model="tiny", ca_file=ca_file, client=client, duration_seconds=1,
            rate_per_second=10, gates=PATIENT,
        )  # fmt: skip
        history = tmp_path / f"{client}.jsonl"
        load = launch.start(plan, history=history, log=tmp_path / "log")

        assert load.wait_finished(60).valid
        assert all(row.complete for row in load.rows())


def test_a_cut_in_the_middle_is_no_tls_failure(
    url: str, ca_file: str, engine: EngineProcess
) -> None:
    engine.script(misbehaviour="fin", times=1)

    row = one(url, ca_file=ca_file)

    assert row.error_class is FailureClass.FIN_MIDSTREAM
    assert len(row.gaps_us) == 3
