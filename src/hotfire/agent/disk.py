"""A file system of the node with too little room left."""

import os
from pathlib import Path
from typing import Any

from hotfire.agent import arguments
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_PREFIX = ".hotfire-fill-"
_MOST_BYTES = float(1 << 44)
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Fill:
    """Write one file below ``path`` until only ``free_bytes`` are left.

    ``at_most_bytes`` bounds the file: a disk that others need too is not filled by mistake. The
    file has lost its name before its first byte is written, so its blocks are the agent's alone:
    they are free again the moment it ends, however it ends, even if nobody ever starts another.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse what is no directory, and a file larger than allowed."""
        arguments.only(args, {"path", "free_bytes", "at_most_bytes"})
        folder = _folder(host, args)
        needed = free_bytes(folder) - _free(args)
        largest = arguments.number(args, "at_most_bytes", above=0, at_most=_MOST_BYTES)
        if not 0 < needed <= largest:
            raise OperationError(
                f"leaving {_free(args)} bytes takes a file of {needed} bytes, allowed are "
                f"1 to {largest:.0f}"
            )

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Write the file; its blocks are really taken."""
        folder = _folder(host, entry.args)
        before = free_bytes(folder)
        # Exclusive: in a folder that anybody may write, a link must not lead us elsewhere.
        self._held[entry.id] = file = os.open(_file(folder, entry), _FLAGS, 0o600)
        _file(folder, entry).unlink()
        os.posix_fallocate(file, 0, before - _free(entry.args))
        return {"free_bytes_before": before, "free_bytes": free_bytes(folder)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Let the file go, and its name where the agent ended between making and unnaming it."""
        if (file := self._held.pop(entry.id, None)) is not None:
            os.close(file)
        _file(_folder(host, entry.args), entry).unlink(missing_ok=True)

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the file is gone."""
        named = _file(_folder(host, entry.args), entry).exists()
        return entry.id not in self._held and not named


def room(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return size and free bytes of the file system on which the directory ``path`` lies."""
    arguments.only(args, {"path"})
    folder = _folder(host, args)
    seen = os.statvfs(folder)
    return {"total_bytes": seen.f_blocks * seen.f_frsize, "free_bytes": free_bytes(folder)}


def free_bytes(folder: Path) -> int:
    """Return what programs may still write on a directory's file system."""
    seen = os.statvfs(folder)
    return seen.f_bavail * seen.f_frsize


def _folder(host: Host, args: dict[str, Any]) -> Path:
    path = str(args.get("path", ""))
    if not path.startswith("/") or ".." in Path(path).parts or not host.path(path).is_dir():
        raise OperationError(f"{path!r} is no directory of this node")
    return host.path(path)


def _free(args: dict[str, Any]) -> int:
    return round(arguments.number(args, "free_bytes", above=-1, at_most=_MOST_BYTES))


def _file(folder: Path, entry: Entry) -> Path:
    return folder / f"{_PREFIX}{entry.id}"
