"""How the files of a run are written and read: whole, line by line, and never out of it."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from hotfire.errors import HistoryError

_Line = TypeVar("_Line", bound=BaseModel)
_MOST_FILES: Final = 100_000
_MOST_BYTES: Final = {".json": 64 << 20, ".jsonl": 1 << 30}
"""Of what is read whole; histories, which may be longer, are read row by row."""


def refuse_traps(root: Path) -> None:
    for count, path in enumerate(root.rglob("*")):
        mode, size = path.lstat().st_mode, path.lstat().st_size
        name = path.relative_to(root)
        if count >= _MOST_FILES:
            raise HistoryError(f"{root} holds more than {_MOST_FILES:,} files, as no run does")
        if stat.S_ISLNK(mode) and not path.resolve().is_relative_to(root):
            raise HistoryError(f"{root}: {name} is a link that leads out of the run; remove it")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise HistoryError(f"{root}: {name} is no file and no folder; remove it")
        history = name.parts[0] == "history" and name.suffix == ".jsonl"
        if not history and size > _MOST_BYTES.get(name.suffix, size):
            raise HistoryError(f"{root}: {name} is larger than any run leaves it")


def file_name(case: str) -> str:
    """Return a case's name with every character that a path or a link could trip over replaced."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in case).strip("-.") or "case"


def append(path: Path, record: BaseModel) -> None:
    line = record.model_dump_json().encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    try:
        while line:
            # A disk that is nearly full takes a part, and says so only when asked for the rest.
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def read_lines(path: Path, model: type[_Line]) -> Iterator[_Line]:
    """Yield one record per line; a torn last line is what a crash leaves and is left out."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            yield model.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines):
                return
            raise HistoryError(f"{path}:{number} is not a {model.__name__} line") from error


def point(link: Path, name: str) -> None:
    draft = link.with_name(f".latest.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(name)
    draft.replace(link)


def dump(value: object) -> str:
    """Return any JSON-like value as readable JSON; what JSON lacks is written as text."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)
