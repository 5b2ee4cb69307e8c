"""A node's cache holds what the store's manifest says, or its pod says why not."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.engine import model_cache
from hotfire.waiting import until
from tests.hostile_peer import Pieces, answering
from tests.model_store_process import FILES, WEIGHTS, ModelStore, model_store

NAME = "weights/one.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ModelStore]:
    with model_store(tmp_path) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "tiny"


def fill(url: str, cache: Path, give_up_seconds: float = 0) -> subprocess.CompletedProcess[str]:
    """Run the program as a stock image does."""
    argv = [sys.executable, "-I", "-S", str(Path(model_cache.__file__))]
    argv += [url, str(cache), str(give_up_seconds)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def held(cache: Path) -> dict[str, bytes]:
    """Return the cache's files without its own bookkeeping."""
    files = [path for path in cache.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in files}


def test_empty_cache_is_filled_and_a_full_one_left_alone(store: ModelStore, cache: Path) -> None:
    first = fill(store.model_url, cache)
    stamps = {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")}
    second = fill(store.model_url, cache)

    assert held(cache) == FILES
    assert "2 files, 2 of them to fetch" in first.stdout
    assert "2 files, 0 of them to fetch" in second.stdout
    assert stamps[cache / "config.json"] == (cache / "config.json").stat().st_mtime_ns


def test_corrupt_store_is_refused_by_name_and_checksum(store: ModelStore, cache: Path) -> None:
    store.mode.write_text("corrupt")

    done = fill(store.model_url, cache)

    assert done.returncode == 1
    assert "config.json: refused, its SHA-256 is " in done.stdout
    assert held(cache) == {}


def test_file_damaged_on_the_nodes_disk_is_fetched_again(store: ModelStore, cache: Path) -> None:
    fill(store.model_url, cache)
    (cache / NAME).write_bytes(WEIGHTS[:-1] + b"?")

    done = fill(store.model_url, cache)

    assert "2 files, 1 of them to fetch" in done.stdout
    assert held(cache) == FILES


def test_unfinished_download_is_resumed(store: ModelStore, cache: Path) -> None:
    fill(store.model_url, cache)
    file = next(each for each in model_cache.known(cache) if each.path == NAME)
    (cache / NAME).rename(cache / "weights" / f".one.safetensors.{file.sha256[:16]}")
    with (cache / "weights" / f".one.safetensors.{file.sha256[:16]}").open("r+b") as unfinished:
        unfinished.truncate(200_000)
    store.mode.write_text("slow 50000")  # The rest takes one second, all of it five.

    done = fill(store.model_url, cache)

    seconds = float(done.stdout.partition(" bytes in ")[2].split()[0])
    assert held(cache) == FILES
    assert seconds < 3


def test_whole_cache_does_without_its_store(store: ModelStore, cache: Path) -> None:
    fill(store.model_url, cache)

    done = fill("http://127.0.0.1:9/models/tiny", cache)

    assert done.returncode == 0
    assert "Connection refused" in done.stdout
    assert "the cache is whole as of the last manifest" in done.stdout


def test_empty_cache_waits_for_its_store(store: ModelStore, cache: Path) -> None:
    store.mode.write_text("out of order")
    waiting = threading.Thread(target=fill, args=(store.model_url, cache, 20))
    waiting.start()
    until((cache / ".lock").exists, within_seconds=10, what="the cache being filled")
    store.mode.unlink()
    waiting.join()

    assert held(cache) == FILES


def test_absent_store_is_given_up_in_words(cache: Path) -> None:
    done = fill("http://127.0.0.1:9/models/tiny", cache, 0.6)

    assert done.returncode == 1
    assert "next try in 0.5 s" in done.stdout
    assert "Connection refused; gave up after 0.6 s" in done.stdout


def test_file_that_left_the_model_leaves_the_cache(tmp_path: Path, cache: Path) -> None:
    with model_store(tmp_path) as store:
        (tmp_path / "models" / "tiny" / "old.safetensors").write_bytes(b"old")
    with model_store(tmp_path) as store:
        fill(store.model_url, cache)
    (tmp_path / "models" / "tiny" / "old.safetensors").unlink()
    with model_store(tmp_path) as store:
        fill(store.model_url, cache)

    assert held(cache) == FILES


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", ""])
def test_path_out_of_the_cache_is_refused(path: str) -> None:
    text = f'{{"files": [{{"path": "{path}", "size_bytes": 1, "sha256": "00"}}]}}'

    with pytest.raises(model_cache.StoreTrouble, match="no path below a model"):
        model_cache.parse(text.encode())


REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: {}/manifest.json\r\ncontent-length: 0\r\n\r\n"
LIST = b'{"files": [{"path": "a", "size_bytes": 10, "sha256": "00"}]}'


def test_redirect_of_a_store_is_not_followed(store: ModelStore, cache: Path) -> None:
    redirect = REDIRECT.replace(b"{}", store.model_url.encode())

    with answering(lambda: [redirect]) as url:
        done = fill(url, cache)

    assert "/manifest.json: HTTP 302; gave up" in done.stdout
    assert held(cache) == {}


def body(first: bytes, again: bytes, wait: float = 0.0) -> Pieces:
    """Return an answer that goes on without end."""

    def pieces() -> Iterator[bytes | float]:
        yield b"HTTP/1.1 200 OK\r\n\r\n" + first
        while True:
            yield again
            yield wait

    return pieces


def test_manifest_without_end_is_read_to_its_limit(cache: Path) -> None:
    with answering(body(b'{"files": [', b" " * 65536)) as url:
        done = fill(url, cache)

    assert "more bytes came than there are to be" in done.stdout


def test_manifest_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_cache, "MANIFEST_SECONDS", 0.3)

    with (
        answering(body(b'{"files": [', b" ", 0.05)) as url,
        pytest.raises(model_cache.StoreTrouble, match=r"not whole within 0.3 s"),
    ):
        model_cache.manifest(url)


def test_file_longer_than_its_manifest_says_fills_no_disk(cache: Path) -> None:
    file = model_cache.parse(LIST)[0]

    with (
        answering(body(b"", b"x" * 65536)) as url,
        pytest.raises(model_cache.StoreTrouble, match="more bytes came"),
    ):
        model_cache.download(url, cache, file)

    assert sum(path.stat().st_size for path in cache.iterdir()) <= file.size_bytes
