"""The model store serves files as HTTP has it, and breaks as it is told."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hotfire import metrics
from tests.model_store_process import FILES, WEIGHTS, ModelStore, model_store

NAME = "weights/one.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ModelStore]:
    with model_store(tmp_path) as running:
        yield running


def get(store: ModelStore, name: str = NAME, **headers: str) -> httpx.Response:
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    return httpx.get(f"{store.model_url}/{name}", headers=given, timeout=20)


def test_manifest_has_size_and_checksum_of_every_file(store: ModelStore) -> None:
    rows = get(store, "manifest.json").json()["files"]

    assert {row["path"]: (row["size_bytes"], row["sha256"]) for row in rows} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()
    }
    assert httpx.get(f"{store.url}/models/").json() == ["tiny"]


def test_file_comes_as_it_is_with_its_checksum_as_etag(store: ModelStore) -> None:
    answer = get(store)

    assert answer.content == WEIGHTS
    assert answer.headers["etag"] == f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'
    assert get(store, If_None_Match=answer.headers["etag"]).status_code == 304


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=255990-", 255990, 255999), ("bytes=-6", 255994, 255999)],
)
def test_range_gives_just_those_bytes(store: ModelStore, asked: str, first: int, last: int) -> None:
    answer = get(store, Range=asked)

    assert answer.status_code == 206
    assert answer.content == WEIGHTS[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/256000"


def test_range_beyond_the_end_is_refused_and_several_ranges_are_ignored(store: ModelStore) -> None:
    assert get(store, Range="bytes=256000-").status_code == 416
    assert get(store, Range="bytes=0-1,5-6").content == WEIGHTS


def test_range_of_another_version_gives_the_whole_file(store: ModelStore) -> None:
    assert get(store, Range="bytes=5-6", If_Range='"of-yesterday"').content == WEIGHTS


def test_head_tells_the_size_and_sends_no_body(store: ModelStore) -> None:
    answer = httpx.head(f"{store.model_url}/{NAME}")

    assert answer.headers["content-length"] == "256000"
    assert answer.content == b""


def test_corrupt_store_changes_one_byte_and_keeps_the_checksum(store: ModelStore) -> None:
    sound = get(store)
    store.mode.write_text("corrupt\n")

    broken = get(store)

    changed = [a ^ b for a, b in zip(broken.content, WEIGHTS, strict=True) if a != b]
    assert len(changed) == 1
    assert broken.headers["etag"] == sound.headers["etag"]
    store.mode.unlink()
    assert get(store).content == WEIGHTS


def test_slow_store_keeps_to_its_rate(store: ModelStore) -> None:
    store.mode.write_text("slow 200000")
    began = time.monotonic()

    assert get(store).content == WEIGHTS
    assert 1.1 < time.monotonic() - began < 5


def test_unknown_mode_is_told(store: ModelStore) -> None:
    store.mode.write_text("sideways")

    answer = get(store)

    assert answer.status_code == 500
    assert "expected `slow BYTES_PER_SECOND` or `corrupt`, found ['sideways']" in answer.text


def test_metrics_count_requests_and_bytes(store: ModelStore) -> None:
    get(store)
    get(store, "absent")

    counted = metrics.parse(httpx.get(f"{store.url}/metrics").text)
    assert counted.total("model_store_requests_total", code="200") == 1
    assert counted.total("model_store_requests_total", code="404") == 1
    assert counted.total("model_store_sent_bytes_total") == len(WEIGHTS)
