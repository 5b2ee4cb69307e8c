"""Built parts on disk: each is whole or absent.

A part is a directory ``<cache>/parts/<name>-<fingerprint>``. Building happens in ``.building``
beside it and is renamed at the end, so an interrupted build goes on where it stopped.
"""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab.build.command import disk_full

_FREE_BYTES_NEEDED = 12 * 1024**3


@dataclass(frozen=True, slots=True)
class Store:
    """The parts below one cache directory."""

    cache: Path

    def home(self, name: str, fingerprint: str) -> Path:
        """Return where that part lies, built or not."""
        return self.cache / "parts" / f"{name}-{fingerprint}"

    def has(self, name: str, fingerprint: str) -> bool:
        return self.home(name, fingerprint).is_dir()

    def make(self, name: str, fingerprint: str, build: Callable[[Path], None]) -> Path:
        """Return the part, built into a staging directory first if it is absent.

        ``build`` may find there what an earlier, interrupted one left.

        Raises:
            LabError: the disk is full.
        """
        home = self.home(name, fingerprint)
        if home.is_dir():
            return home
        staging = self.cache / ".building" / home.name
        staging.mkdir(parents=True, exist_ok=True)
        try:
            build(staging)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise LabError(disk_full(name, self.cache)) from error
        home.parent.mkdir(exist_ok=True)
        staging.rename(home)
        return home

    def check_room(self) -> None:
        """Raise LabError unless a build of everything would fit."""
        free = shutil.disk_usage(self.cache).free
        if free < _FREE_BYTES_NEEDED:
            raise LabError(
                f"building the lab's parts needs {_FREE_BYTES_NEEDED >> 30} GiB below "
                f"{self.cache}, {free / 2**30:.1f} GiB are free; make room and run the same "
                "command again"
            )


def link_or_copy(path: Path, target: Path) -> None:
    """Make ``target`` the same file as ``path``, by a hard link where the file system allows it."""
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:  # Another file system.
        shutil.copy2(path, target)
