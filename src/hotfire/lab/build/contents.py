"""What an archive of parts says it holds: every file of every part, with its hash."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hotfire.errors import LabError

FORMAT: Final = 1


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or str(pure) != path:
        raise ValueError("a file of a part lies inside it")
    return path


class Entry(BaseModel):
    """One file of a part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, AfterValidator(_inside)]
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    executable: bool
    # Compiled Python names the second in which its source was last changed.
    changed_at: int = Field(ge=0)


class Part(BaseModel):
    """One part: the name of its directory in the store, which ends in its fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: str = Field(pattern="^[a-z0-9-]+$")
    files: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.files)

    def member(self, entry: Entry) -> str:
        """Return a file's name in the archive."""
        return f"{self.home}/{entry.path}"


class Stamp(BaseModel):
    """What every version of the list says."""

    format: int
    machine: str


class Contents(BaseModel):
    """The whole list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    machine: str
    parts: tuple[Part, ...]


def of_part(home: Path) -> Part:
    """Return what a part's directory holds.

    Raises:
        LabError: it holds a link or worse; building makes none.
    """
    paths = sorted(path for path in home.rglob("*") if path.is_symlink() or not path.is_dir())
    if strange := [path for path in paths if path.is_symlink() or not path.is_file()]:
        raise LabError(f"{strange[0]} is no plain file, and a part holds nothing else")
    return Part(home=home.name, files=tuple(_entry(home, path) for path in paths))


def _entry(home: Path, path: Path) -> Entry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    stat = path.stat()
    return Entry(
        path=path.relative_to(home).as_posix(),
        size=stat.st_size,
        sha256=digest,
        executable=bool(stat.st_mode & 0o100),
        changed_at=int(stat.st_mtime),
    )
