"""The backup job ends well each time, and what it writes is empty."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hotfire.lab.lab import Lab
from tests.added import added
from tests.world import World

ADD_ON, MODULE = "etcd-tools", "hotfire.lab.handles.etcd_backup"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with added(ADD_ON) as lab, world.target_says(upkeep={"etcd_backup": backup_of(lab)}):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with TemporaryDirectory() as folder, added(ADD_ON) as lab:
        file = Path(folder, "etcd.db")
        file.touch()
        declared = backup_of(lab) | {"take": ["echo", str(file)]}
        with world.target_says(upkeep={"etcd_backup": declared}):
            yield


def backup_of(lab: Lab) -> dict[str, Any]:
    """Return how the lab's etcd is backed up and restored, as its target file would say it."""
    argv = [sys.executable, "-m", MODULE, str(lab.state.home)]
    return {"take": [*argv, "take"], "restore": [*argv, "restore"], "restore_seconds": 60.0}
