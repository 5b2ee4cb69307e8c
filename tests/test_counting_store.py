"""A store of ours passes on what the target's own gives, counts it, and what comes of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures.counting_store import PROGRAM
from fixtures.model_filler import Filler
from hotfire.engine import model_cache
from hotfire.errors import HarnessError
from suites.storage.test_cold_starts_share_one_download import full_name, run_seconds, there
from tests.model_store_process import FILES, model_store
from tests.ports import free_port

MODEL_BYTES = sum(map(len, FILES.values()))
STAMPS = {"startedAt": "2026-11-30T10:00:00Z", "finishedAt": "2026-11-30T10:00:05Z"}


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where the store of ours is asked, and where it tells its counts."""
    with model_store(tmp_path) as behind:
        ports = str(free_port()), str(free_port())
        words = [*behind.url.removeprefix("http://").split(":"), "1e9", *ports]
        argv = [sys.executable, "-I", "-S", "-c", PROGRAM, *words]
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            yield f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
            process.kill()


def test_a_second_start_on_the_same_cache_reads_the_list_only(
    counting: tuple[str, str], tmp_path: Path
) -> None:
    store, tells = counting
    for name in ("cold", "warm"):
        url = f"{store}/{name}/models/tiny"
        argv = [sys.executable, str(model_cache.__file__), url, str(tmp_path / "cache"), "0"]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)

    sent = httpx.get(tells).json()

    assert sent["cold"] - sent["warm"] == MODEL_BYTES
    assert 0 < sent["warm"] < 1000


@pytest.mark.parametrize(
    "container",
    [
        {"args": ["http://10.0.0.1:8080/models/x", "/models"]},
        {"command": ["fill", "http://store/models/x"]},
        {"env": [{"name": "KEY", "valueFrom": {}}, {"name": "URL", "value": "http://store"}]},
    ],
)
def test_what_fills_a_cache_asks_elsewhere_for_the_same(container: dict[str, Any]) -> None:
    filler = Filler({"name": "fill", "volumeMounts": [], **container}, [], "/models")

    words = json.dumps(filler.asking("http://ours:1/cold").container)

    assert words.count("http://") == words.count("http://ours:1/cold") == 1
    assert ("/models/x" in words) == ("models/x" in json.dumps(container))


def test_what_is_asked_by_tls_cannot_be_counted() -> None:
    filler = Filler({"name": "fill", "args": ["https://store/models/x"]}, [], "/models")

    with pytest.raises(HarnessError, match="cannot be counted"):
        filler.asking("http://ours:1")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("vllm/vllm-openai", "docker.io/vllm/vllm-openai:latest"),
        ("registry:5000/vllm", "registry:5000/vllm:latest"),
        ("localhost/vllm:1", "localhost/vllm:1"),
        ("quay.io/x/y@sha256:12", "quay.io/x/y@sha256:12"),
    ],
)
def test_an_image_has_one_full_name(image: str, expected: str) -> None:
    assert full_name(image) == expected
    assert there({"status": {"images": [{"names": [image]}, {}]}}) == {expected}


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        ({"terminated": {"exitCode": 0, **STAMPS}}, 5.0),
        ({"terminated": {"exitCode": 1, **STAMPS}}, float("inf")),
        ({"running": {}}, float("inf")),
        (None, float("inf")),
    ],
)
def test_what_has_not_ended_well_took_for_ever(
    state: dict[str, Any] | None, seconds: float
) -> None:
    status = {"containerStatuses": [{"name": "fill", "state": state}]}

    assert run_seconds({"status": status}) == {"fill": seconds}
