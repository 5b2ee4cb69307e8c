"""How a file is replaced at once: whoever reads it sees all of the old one or all of the new."""

import os
import tempfile
from pathlib import Path


def write(path: Path, text: str, *, durable: bool = True) -> None:
    """Put a file in its place, never half of one; what a link of its name names is kept.

    Durable: its content is on the disk before its name is; see ``sync_folder`` for that.

    Raises:
        OSError: the disk did not take it; what was there before still is.
    """
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            os.fchmod(handle, 0o644)
            file.write(text)
            file.flush()
            if durable:
                os.fsync(handle)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
