"""A secret goes to the gateway and nowhere else, whatever the gateway does with it."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hotfire import cli
from hotfire.errors import ProfileError
from hotfire.measure.history import Request
from hotfire.reference import resolved
from hotfire.traffic.record.files import Ended
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.secret import Secrets

SECRET = "sk-0123456789-abcdefghij"
BEARER = "Bearer ${env:TEST_API_KEY}"


class Gateway(BaseHTTPRequestHandler):
    """Refuses every key, and says which."""

    protocol_version = "HTTP/1.1"
    heard: set[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        key = self.headers["authorization"]
        self.heard.add(key)
        data = json.dumps({"error": {"message": f"{'-' * 100} wrong key {key}"}}).encode()
        self.send_response(401)
        self.send_header("content-length", str(len(data)))
        self.send_header("x-served-by", key)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def heard() -> set[str]:
    return set()


@pytest.fixture
def plan_file(tmp_path: Path, heard: set[str]) -> Iterator[Path]:
    handler = type("Heard", (Gateway,), {"heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        path = tmp_path / "plan.json"
        load = {"rate_per_second": 20, "duration_seconds": 1, "headers": {"Authorization": BEARER}}
        path.write_text(json.dumps({"url": url, "model": "m", **load}))
        yield path
        server.shutdown()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_secret_is_sent_and_never_written(
    workers: int,
    plan_file: Path,
    heard: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TEST_API_KEY", SECRET)
    options = ["--plan", str(plan_file), "--workers", str(workers), "--run-dir"]

    cli.run(["load", *options, str(tmp_path / "run")])

    output = capfd.readouterr()
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = Ended.model_validate_json(written[tmp_path / "run/history/load.end.json"])
    assert heard == {f"Bearer {SECRET}"}
    assert ended.received > 5
    assert b"wrong key Bearer ***" in written[tmp_path / "run/history/load.jsonl"]
    assert [path for path, data in written.items() if SECRET.encode() in data] == []
    assert SECRET not in output.out + output.err


def test_a_secret_that_is_missing_is_one_line_and_254(
    plan_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TEST_API_KEY", raising=False)

    assert cli.run(["load", "--plan", str(plan_file)]) == 254

    assert (
        "headers: ${env:TEST_API_KEY} cannot be read: no such variable" in capsys.readouterr().err
    )


def test_a_file_may_hold_the_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")

    assert resolved(f"Bearer ${{file:{tmp_path}/key}}") == f"Bearer {SECRET}"


@pytest.mark.parametrize("name", ["vault:x", "file:key", "file:/no/such/file", "", "{env:HOME"])
def test_what_is_no_reference_is_refused(name: str) -> None:
    with pytest.raises(ProfileError, match=r"^headers: .* cannot be read"):
        resolved(f"${{{name}}}")


def test_a_secret_of_two_lines_could_smuggle_a_header(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a\r\nx-admin: 1")

    with pytest.raises(ProfileError, match="more than one line"):
        resolved(f"${{file:{tmp_path}/key}}")


@pytest.mark.parametrize("kept", range(len(SECRET) + 1))
def test_of_a_secret_that_was_cut_off_no_more_than_three_characters_stay(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_API_KEY", SECRET)
    plan = LoadPlan(url="http://h", model="m", headers={"authorization": BEARER})
    row = Request(seq=0, sched_ns=0, detail=f"wrong key {SECRET[:kept]}")

    detail = Secrets(plan).hidden(row).detail

    assert detail.startswith("wrong key")
    assert SECRET[:4] not in detail
