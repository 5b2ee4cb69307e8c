"""One wrong bit in the largest file below a directory, as a disk that rots leaves it."""

import os
from pathlib import Path
from typing import Any

from hotfire.agent import arguments
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError


class Spoil:
    """Turn a bit in the middle of the largest file below ``directory``.

    What was there is written into the entry first. It is put back only into that very file: one
    that somebody has fetched anew under its name is right already.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a directory without a file, and one that is spoiled already."""
        arguments.only(args, {"directory"})
        _largest(host, args)
        mine = [one for one in others if one.op == "file.spoil" and one.args == args]
        if mine:
            raise OperationError(f"{args['directory']} is spoiled already, by {mine[0].id}")

    def aim(self, host: Host, args: dict[str, Any]) -> dict[str, Any]:
        """Return which byte of which file, and what it was."""
        path = _largest(host, args)
        seen = path.stat(follow_symlinks=False)
        offset = seen.st_size // 2
        with path.open("rb") as file:
            was = os.pread(file.fileno(), 1, offset)[0]
        return {
            "file": str(path.relative_to(host.root)),
            "inode": seen.st_ino,
            "offset": offset,
            "was": was,
        }

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Write the wrong byte, and read it back."""
        _write(host, entry, _wrong(entry))
        if not _is_spoiled(host, entry):
            raise OperationError(f"{entry.observed['file']} was replaced this moment")
        self._hosts[entry.id] = host
        return {"spoiled": True}

    def undo(self, host: Host, entry: Entry) -> None:
        """Put back what was there, where it is still wrong."""
        self._hosts.pop(entry.id, None)
        if _is_spoiled(host, entry):
            _write(host, entry, entry.observed["was"])

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether nothing is wrong there any more."""
        return not _is_spoiled(host, entry)

    def observe(self, entry: Entry) -> tuple[dict[str, Any], bool]:
        """Return whether somebody else has put it right since."""
        host = self._hosts.get(entry.id)
        if host is None or entry.observed.get("repaired") or _is_spoiled(host, entry):
            return {}, False
        return {"repaired": True}, False


def present(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return whether a directory of this node has a file below it that could be spoiled."""
    arguments.only(args, {"directory"})
    try:
        _largest(host, args)
    except OperationError:
        return {"present": False}
    return {"present": True}


def _largest(host: Host, args: dict[str, Any]) -> Path:
    name = str(args.get("directory", ""))
    if not name.startswith("/") or ".." in Path(name).parts:
        raise OperationError(f"{name!r} is no directory of this node")
    found = (Path(folder, one) for folder, _, names in os.walk(host.path(name)) for one in names)
    sized = [(one.stat(follow_symlinks=False).st_size, one) for one in found if _is_plain(one)]
    if not sized or max(sized)[0] == 0:
        raise OperationError(f"{name} holds no file with anything in it")
    return max(sized)[1]


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _wrong(entry: Entry) -> int:
    return int(entry.observed["was"]) ^ 1


def _is_spoiled(host: Host, entry: Entry) -> bool:
    """Return whether that very file holds the wrong byte."""
    try:
        with _file(host, entry).open("rb") as file:
            if os.fstat(file.fileno()).st_ino != entry.observed["inode"]:
                return False
            return os.pread(file.fileno(), 1, entry.observed["offset"]) == bytes([_wrong(entry)])
    except FileNotFoundError:
        return False


def _write(host: Host, entry: Entry, byte: int) -> None:
    """Write one byte into that very file, and have it on the disk."""
    handle = os.open(_file(host, entry), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_ino == entry.observed["inode"]:
            os.pwrite(handle, bytes([byte]), entry.observed["offset"])
            os.fsync(handle)
    finally:
        os.close(handle)


def _file(host: Host, entry: Entry) -> Path:
    return host.root / str(entry.observed["file"])
