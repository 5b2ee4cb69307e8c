"""What the lab remembers: one directory, and the answer to "whose lab is this"."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hotfire import whole_files
from hotfire.errors import LabError


def state_home() -> Path:
    """Return the one place of this machine where a lab keeps its state."""
    return Path.home() / ".local" / "state" / "hotfire" / "lab"


def cache_home() -> Path:
    """Return where built parts are kept, outside any checkout."""
    return Path.home() / ".cache" / "hotfire"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the host's loopback reaches the lab."""

    api: int = 16443
    gateway: int = 16480
    prometheus: int = 16490


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRecord:
    """Which lab stands here."""

    checkout: str
    started_at: str
    complete: bool
    topology: dict[str, Any]
    """As `topology_file.document` writes it."""
    ports: Ports


class State:
    """The lab's directory of state."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.machines = home / "machines"
        self.pki = home / "pki"
        self.kubeconfig = home / "kubeconfig"
        self.target = home / "target.yaml"
        self.images = home / "images.tar"
        self.loaded = home / "loaded"
        self.add_ons = home / "add-ons"
        self.handles = home / "handles"
        self.handles_log = self.handles / "handles.log"
        self._record = home / "lab.json"

    def read(self) -> LabRecord | None:
        """Return the record of the lab that stands or half stands; None: there is none."""
        try:
            document = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return None
        return LabRecord(**{**document, "ports": Ports(**document["ports"])})

    def write(self, record: LabRecord) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        whole_files.write(self._record, json.dumps(asdict(record), indent=1), durable=False)

    def erase(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        # The parents are ours too, if nothing else lies there.
        for parent in (self.home.parent,):
            with contextlib.suppress(OSError):
                parent.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands from changing the lab meanwhile.

        Raises:
            LabError: another command is at it.
        """
        self.home.parent.mkdir(parents=True, exist_ok=True)
        path = self.home.parent / "lab.lock"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        if not _locks(descriptor, path):
            os.close(descriptor)
            raise LabError("another hotfire command is changing the lab; wait for it")
        try:
            yield
        finally:
            # Only who holds the lock may remove its file, or the next one would lock another file.
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _locks(descriptor: int, path: Path) -> bool:
    """Lock the open file if it is free, and still the one that everybody else will find."""
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before may have removed it between the opening and the locking.
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
