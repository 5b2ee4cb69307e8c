"""An agent takes orders of the run that has the cluster, and of none that had it before."""

from pathlib import Path
from typing import Any

import pytest

from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations


@pytest.fixture
def operations(tmp_path: Path) -> Operations:
    return Operations(Host((), tmp_path), Entries(tmp_path / "entries"), fence=7)


def fill(token: int, id_: str = "u-1") -> dict[str, Any]:
    order = {"op": "disk.fill", "id": id_, "ttl_seconds": 60, "path": "/disk", "leave_bytes": 1}
    return {**order, "token": token}


@pytest.mark.parametrize("token", [0, 6])
@pytest.mark.parametrize("op", ["disk.fill", "renew"])
def test_an_order_older_than_the_fence_is_refused(
    operations: Operations, op: str, token: int
) -> None:
    with pytest.raises(OperationError, match="a later run, with 7, has this cluster"):
        operations.answer({**fill(token), "op": op})

    assert operations.answer({"op": "list"}) == []


def test_a_later_order_raises_the_fence(operations: Operations) -> None:
    operations.answer({"op": "ping", "token": 9})

    with pytest.raises(OperationError, match="a later run, with 9"):
        operations.answer(fill(8))


def test_whoever_was_overtaken_may_not_end_the_faults_of_the_next(operations: Operations) -> None:
    with pytest.raises(OperationError, match="heal with token 6 is refused"):
        operations.answer({"op": "heal", "id": None, "token": 6})


@pytest.mark.parametrize("token", [0, 7])
def test_everything_is_healed_for_the_holder_and_by_hand(
    operations: Operations, token: int
) -> None:
    assert operations.answer({"op": "heal", "id": None, "token": token}) == {"problems": []}


def test_reading_needs_no_token(operations: Operations) -> None:
    answered = operations.answer({"op": "ping"})

    assert isinstance(answered, dict)
    assert answered["open"] == 0


def test_an_order_that_comes_after_its_undo_is_refused(tmp_path: Path) -> None:
    """Its way was slow, or its sender stood still: whoever healed believes nothing is broken."""
    entries = Entries(tmp_path / "entries")

    healed = Operations(Host((), tmp_path), entries).answer({"op": "heal", "id": "u-1"})

    assert healed == {"problems": []}
    with pytest.raises(OperationError, match="u-1 was healed before it was armed"):
        entries.arm("u-1", "disk.fill", {}, ttl_seconds=60)
