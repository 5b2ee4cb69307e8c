"""Locust's own page starts the load, shows its rows and stops it; also with workers elsewhere."""

import json
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hotfire.measure import history
from hotfire.traffic.process.join import LOCUSTFILE, command
from hotfire.traffic.record.files import Ended
from hotfire.traffic.workload.plan import Fleet, LoadPlan
from hotfire.waiting import until
from tests.engine_process import EngineProcess, running_engine
from tests.patience import PATIENT
from tests.ports import free_port


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as engine:
        yield engine


@contextmanager
def locust(plan: LoadPlan, folder: Path, *options: str) -> Iterator[str]:
    """Run Locust with its page as an operator would; yield the page's address."""
    (folder / "plan.json").write_text(plan.model_dump_json())
    port = free_port()
    argv = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE)]
    argv += ["--plan", str(folder / "plan.json"), "--history", str(folder / "load.jsonl")]
    argv += ["--web-host", "127.0.0.1", "--web-port", str(port), *options]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stderr=log) as process:
        try:
            until(lambda: answers(port), within_seconds=90, what="Locust's page")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def start(page: str) -> None:
    form = urllib.parse.urlencode({"user_count": 2, "spawn_rate": 2}).encode()
    with urllib.request.urlopen(f"{page}/swarm", form, timeout=60) as answer:  # noqa: S310
        assert json.load(answer)["success"]


def shown(page: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{page}/stats/requests", timeout=10) as answer:  # noqa: S310
        document: dict[str, Any] = json.load(answer)
        return document


def requests_shown(page: str) -> int:
    return sum(row["num_requests"] for row in shown(page)["stats"] if row["method"] == "LLM")


def has_lines(path: Path) -> bool:
    return path.exists() and path.read_bytes().count(b"\n") > 60


def test_the_page_starts_shows_and_stops_a_load_twice(
    engine: EngineProcess, tmp_path: Path
) -> None:
    plan = LoadPlan(url=engine.url, model="tiny", rate_per_second=30, gates=PATIENT)
    with locust(plan, tmp_path) as page:
        for name in ("load", "load-2"):
            start(page)
            path = tmp_path / f"{name}.jsonl"
            until(partial(has_lines, path), within_seconds=90, what="rows")
            until(lambda: requests_shown(page) > 10, within_seconds=90, what="requests on the page")
            urllib.request.urlopen(f"{page}/stop", b"", timeout=60).close()  # noqa: S310
            end = tmp_path / f"{name}.end.json"
            until(end.exists, within_seconds=90, what="the end of the load")

            rows = history.load(path)
            assert len(rows) == Ended.model_validate_json(end.read_bytes()).planned_until_stop
        nonces = {LoadPlan.read(path).nonce for path in tmp_path.glob("load*.plan.json")}
        assert len(nonces - {""}) == 2


def test_a_worker_of_another_machine_joins_by_plain_locust(
    engine: EngineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTFIRE_LOAD_TOKEN", "a word that master and worker share")
    port = free_port()
    fleet = Fleet(at="elsewhere", bind_port=port)
    plan = LoadPlan(
        url=engine.url, model="tiny", rate_per_second=30, duration_seconds=3, workers=1,
        fleet=fleet, gates=PATIENT,
    )  # fmt: skip
    master = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port))
    with (
        locust(plan, tmp_path, *master) as page,
        subprocess.Popen(command("--master-host", "127.0.0.1", "--master-port", str(port))) as one,
    ):
        until(lambda: shown(page)["workers"], within_seconds=90, what="the worker")
        start(page)
        end = tmp_path / "load.end.json"
        until(end.exists, within_seconds=60, what="the end of the load")
        until(lambda: requests_shown(page), within_seconds=60, what="requests on the page")
        seen = requests_shown(page)
        one.terminate()

    rows = history.load(tmp_path / "load.jsonl")
    assert len(rows) == Ended.model_validate_json(end.read_bytes()).received
    assert 0 < seen <= len(rows)
