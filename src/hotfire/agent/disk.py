"""A file system of the node with too little room left."""

import os
from pathlib import Path
from typing import Any

from hotfire.agent import arguments
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_PREFIX = ".hotfire-fill-"
_MOST_BYTES = float(1 << 44)


class Fill:
    """Write one file below ``path`` until only ``free_bytes`` are left.

    ``at_most_bytes`` bounds the file: a disk that others need too is not filled by mistake.
    """

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
        with _file(folder, entry).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, before - _free(entry.args))
        return {"free_bytes_before": before, "free_bytes": free_bytes(folder)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Remove the file."""
        _file(_folder(host, entry.args), entry).unlink(missing_ok=True)

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the file is gone."""
        return not _file(_folder(host, entry.args), entry).exists()


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
