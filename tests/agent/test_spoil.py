"""A file with one wrong bit: put back into that very file, and into no other."""

import signal
from pathlib import Path

import pytest

from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations
from tests.agent.world import ENTRY, Agent

WEIGHTS = bytes(range(100))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The largest file below the cache; a link to a larger one is none of it."""
    cache = tmp_path / "cache" / "tiny"
    cache.mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(WEIGHTS * 2)
    (cache / "link").symlink_to(tmp_path / "elsewhere")
    (cache.parent / "config.json").write_bytes(b"{}")
    path = cache / "model.safetensors"
    path.write_bytes(WEIGHTS)
    return path


@pytest.fixture
def node(tmp_path: Path) -> Operations:
    return Operations(Host((), tmp_path), Entries(tmp_path / "entries"))


def spoil(node: Operations, directory: str = "/cache", id_: str = "u-1") -> None:
    node.answer({"op": "file.spoil", "id": id_, "ttl_seconds": 60, "directory": directory})


def test_one_bit_of_the_largest_file_is_wrong_until_it_is_healed(
    node: Operations, weights: Path
) -> None:
    spoil(node)
    wrong = [at for at, byte in enumerate(weights.read_bytes()) if byte != WEIGHTS[at]]

    assert wrong == [50]
    assert node.heal_all() == []
    assert weights.read_bytes() == WEIGHTS


def test_a_file_that_was_fetched_anew_is_left_alone_and_told(
    node: Operations, weights: Path
) -> None:
    spoil(node)
    node.tick()
    assert not node.answer({"op": "entry", "id": "u-1"})["observed"].get("repaired")  # type: ignore[index]
    fetched = weights.with_name("fetched")
    fetched.write_bytes(b"other" * 20)
    fetched.rename(weights)

    node.tick()

    assert node.answer({"op": "entry", "id": "u-1"})["observed"]["repaired"]  # type: ignore[index]
    assert node.heal_all() == []
    assert weights.read_bytes() == b"other" * 20


def test_a_file_that_is_gone_is_nobody_s_trouble(node: Operations, weights: Path) -> None:
    spoil(node)
    weights.unlink()

    assert node.heal_all() == []


@pytest.mark.parametrize(
    ("directory", "why"),
    [("/nowhere", "holds no file"), ("cache", "is no directory"), ("/cache/../x", "no directory")],
)
def test_what_holds_no_file_is_not_spoiled(
    node: Operations, weights: Path, directory: str, why: str
) -> None:
    with pytest.raises(OperationError, match=why):
        spoil(node, directory)
    assert node.answer({"op": "file.present", "directory": directory}) == {"present": False}


def test_a_spoiled_file_is_not_spoiled_twice(node: Operations, weights: Path) -> None:
    assert node.answer({"op": "file.present", "directory": "/cache"}) == {"present": True}
    spoil(node)

    with pytest.raises(OperationError, match="spoiled already, by u-1"):
        spoil(node, id_="u-2")


def test_a_killed_agent_s_successor_puts_it_back(tmp_path: Path, weights: Path) -> None:
    agent = Agent(tmp_path)
    agent.start()
    try:
        agent.call("file.spoil", id=ENTRY, ttl_seconds=60, directory=str(weights.parent))
        assert weights.read_bytes() != WEIGHTS
        agent.end(signal.SIGKILL)
        agent.start()
        assert weights.read_bytes() == WEIGHTS
    finally:
        agent.end(signal.SIGTERM)
