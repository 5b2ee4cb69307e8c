"""Finished parts in one archive: what one machine has built, a CI cache or a colleague need not.

A tar whose first member lists every file with its hash. A part is taken once all of its files were
read and found as listed, or not at all. The hashes tell damage; who made the archive they do not
tell, so the list has a digest of its own, to be compared with the one its maker saw.
"""

import errno
import hashlib
import io
import lzma
import os
import platform
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from hotfire.errors import LabError
from hotfire.lab.build import contents
from hotfire.lab.build.command import disk_full
from hotfire.lab.build.contents import Contents, Entry, Part, Stamp

Note = Callable[[str], None]
_LIST = "parts.json"
_CHUNK_BYTES = 1 << 20
_LONGEST_LIST_BYTES = 64 << 20
# What reading a damaged archive, compressed or not, ends in.
_DAMAGE = (tarfile.TarError, EOFError, ValueError, OSError, zlib.error, lzma.LZMAError)


def write(archive: Path, homes: Iterable[Path]) -> str:
    """Write the parts of these directories, in place of what was there, and return the digest.

    Raises:
        LabError: the file could not be written; what was there before still is.
    """
    folders = {home.name: home for home in homes}
    parts = tuple(map(contents.of_part, folders.values()))
    listed = Contents(machine=platform.machine(), parts=parts).model_dump_json().encode()
    try:
        with _draft(archive) as file, tarfile.open(fileobj=file, mode="w") as tar:
            _add(tar, _LIST, len(listed), io.BytesIO(listed))
            for part in parts:
                _add_part(tar, part, folders[part.home])
    except OSError as error:
        raise LabError(_unwritten(archive, error)) from error
    return hashlib.sha256(listed).hexdigest()


@contextmanager
def _draft(archive: Path) -> Iterator[IO[bytes]]:
    """Give a file that takes the archive's place if the block ends well."""
    handle, name = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o644)
            yield file
        Path(name).replace(archive)
    finally:
        Path(name).unlink(missing_ok=True)


def _add_part(tar: tarfile.TarFile, part: Part, home: Path) -> None:
    for entry in part.files:
        with (home / entry.path).open("rb") as source:
            _add(tar, part.member(entry), entry.size, source)


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    tar.addfile(member, source)


def _unwritten(archive: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return disk_full(f"writing {archive}", archive.parent)
    return f"{archive} cannot be written: {error.strerror or error}"


def read(archive: Path, wanted: Iterable[Path], note: Note) -> str:
    """Take the wanted parts from an archive as far as they are absent, and return its digest.

    ``wanted`` are the parts' directories in the store. What is of another version, or for another
    sort of machine, is passed over with a note.

    Raises:
        LabError: the archive is not as it lists, or there is no room. The parts that were read
            before that are in place, of the others nothing is.
    """
    homes = {home.name: home for home in wanted}
    try:
        with tarfile.open(archive, "r:*") as tar:
            listed = _list_of(tar)
            for part in _usable(listed, note):
                home = homes.get(part.home)
                if home is None or home.is_dir():
                    note(f"{part.home}: {'of another version' if home is None else 'here already'}")
                    _pass_over(tar, part)
                else:
                    _take(tar, part, home)
                    note(f"{part.home}: taken, {part.bytes >> 20} MiB")
    except _DAMAGE as error:
        raise LabError(_unread(archive, error)) from error
    return hashlib.sha256(listed).hexdigest()


def _unread(archive: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return disk_full(f"reading {archive}", Path.home())
    if isinstance(error, OSError) and error.errno is not None:
        return f"{archive} cannot be read: {error.strerror}"
    # tarfile tells in further lines what each kind of compression had to say.
    said = str(error).partition("\n")[0].removesuffix(":")
    if isinstance(error, ValidationError):
        said = f"{_LIST} is not such a list"
    return (
        f"{archive} is broken: {said}; what was whole before that is in place, and "
        "`hotfire lab build` without it builds the rest"
    )


def _list_of(tar: tarfile.TarFile) -> bytes:
    member = tar.next()
    if member is None or member.name != _LIST or member.size > _LONGEST_LIST_BYTES:
        raise ValueError(f"it does not begin with {_LIST}")
    with _content(tar, member) as source:
        return source.read()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise ValueError(f"{member.name} is no plain file")
    return source


def _usable(listed: bytes, note: Note) -> tuple[Part, ...]:
    """Return the parts of a list that this version and this machine can use."""
    stamp, here = Stamp.model_validate_json(listed), platform.machine()
    if stamp.format != contents.FORMAT:
        note(f"the archive has format {stamp.format}, not {contents.FORMAT}: nothing is taken")
        return ()
    if stamp.machine != here:
        note(f"the archive is for {stamp.machine}, this machine is {here}: nothing is taken")
        return ()
    return Contents.model_validate_json(listed).parts


def _pass_over(tar: tarfile.TarFile, part: Part) -> None:
    for entry in part.files:
        _next(tar, part, entry)


def _next(tar: tarfile.TarFile, part: Part, entry: Entry) -> tarfile.TarInfo:
    """Return the next member, which must be the one that is listed next."""
    member, name = tar.next(), part.member(entry)
    if member is None or member.name != name or member.size != entry.size or not member.isreg():
        raise ValueError(f"{name} is not where it belongs")
    return member


def _take(tar: tarfile.TarFile, part: Part, home: Path) -> None:
    # Where the store keeps what is not whole yet.
    staging = home.parents[1] / ".building" / f"taken-{home.name}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for entry in part.files:
            with _content(tar, _next(tar, part, entry)) as source:
                _write(source, staging / entry.path, entry)
        home.parent.mkdir(exist_ok=True)
        staging.rename(home)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(source: IO[bytes], target: Path, entry: Entry) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != entry.sha256:
        raise ValueError(f"{entry.path} is not what was packed")
    target.chmod(0o755 if entry.executable else 0o644)
    os.utime(target, (entry.changed_at, entry.changed_at))
