"""Fills a node's model cache from a model store: what runs on a node before its engine starts.

``python model_cache.py MODEL_URL DIRECTORY [GIVE_UP_SECONDS]``. MODEL_URL/manifest.json lists
path, size and SHA-256 of each file. A file appears under its name only when its checksum is right;
one that is there and right is left alone; an unfinished one is resumed. With the store away, a
cache that is whole as of the manifest last seen will do. Standard library only: a stock Python
image runs it.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import logging
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MANIFEST = ".manifest.json"
GIVE_UP_SECONDS = 600.0
SILENCE_SECONDS = 10.0
CHUNK_BYTES = 1 << 20
# Of tens of thousands of files; a list of any length would be kept in memory.
MANIFEST_BYTES, MANIFEST_SECONDS = 4 << 20, 30.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
log = logging.getLogger("model-cache")


class StoreTrouble(Exception):  # noqa: N818 - it is what the operator reads
    """The store cannot be asked, or what it gave is not what its manifest says."""


@dataclass(frozen=True)
class File:
    """One file of a model, as the manifest has it."""

    path: str
    size_bytes: int
    sha256: str


def parse(text: bytes) -> list[File]:
    """Return the files of a manifest.

    Raises:
        StoreTrouble: it is no manifest, or a path of it leads out of the cache.
    """
    try:
        files = [
            File(str(row["path"]), int(row["size_bytes"]), str(row["sha256"]))
            for row in json.loads(text)["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreTrouble(f"the manifest is not one: {error!r}") from error
    for file in files:
        parts = PurePosixPath(file.path).parts
        if not parts or PurePosixPath(file.path).is_absolute() or ".." in parts:
            raise StoreTrouble(f"the manifest names {file.path!r}, which is no path below a model")
    return files


class Staying(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the store would decide what else a pod of this cluster asks."""

    def redirect_request(self, *_: object) -> None:
        """Return no other request; the redirect is then an answer like any refusal."""


def fetch(url: str, *, start: int = 0, at_most: int) -> Iterator[bytes]:
    """Yield the bytes at a URL from a position on, as they come.

    Raises:
        StoreTrouble: no answer, a refusal, a redirect, silence of ten seconds, or more bytes than
            ``at_most``.
    """
    request = urllib.request.Request(url)  # noqa: S310 - the operator's own URL
    if start:
        request.add_header("Range", f"bytes={start}-")
    opener = urllib.request.build_opener(Staying)
    try:
        with opener.open(request, timeout=SILENCE_SECONDS) as answer:
            if start and answer.status != 206:
                raise StoreTrouble(f"{url}: asked to go on at byte {start}, it began anew")
            while chunk := answer.read1(CHUNK_BYTES):
                at_most -= len(chunk)
                if at_most < 0:
                    raise StoreTrouble(f"{url}: more bytes came than there are to be")
                yield chunk
    except urllib.error.HTTPError as error:
        raise StoreTrouble(f"{url}: HTTP {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise StoreTrouble(f"{url}: {getattr(error, 'reason', error)}") from error


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_right(directory: Path, file: File) -> bool:
    """Return whether the cache holds that file with that checksum."""
    path = directory / file.path
    return path.is_file() and path.stat().st_size == file.size_bytes and digest(path) == file.sha256


def download(url: str, directory: Path, file: File) -> None:
    """Put one file into the cache, whole and verified.

    Raises:
        StoreTrouble: it did not come, or not as the manifest says.
    """
    target = directory / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{file.sha256[:16]}")
    have = unfinished.stat().st_size if unfinished.exists() else 0
    began = time.monotonic()
    if have < file.size_bytes or not unfinished.exists():
        with unfinished.open("ab") as out:
            place, left = f"{url}/{urllib.parse.quote(file.path)}", file.size_bytes - have
            for chunk in fetch(place, start=have, at_most=left):
                out.write(chunk)
    size, found = unfinished.stat().st_size, digest(unfinished)
    if size < file.size_bytes:
        raise StoreTrouble(f"{file.path}: {size} of {file.size_bytes} bytes came; the rest is next")
    if found != file.sha256:
        unfinished.unlink()
        raise StoreTrouble(
            f"{file.path}: refused, its SHA-256 is {found}, the manifest says {file.sha256}"
        )
    unfinished.rename(target)
    seconds = time.monotonic() - began
    log.info("%s: %d bytes in %.2f s, checksum right", file.path, file.size_bytes, seconds)


def forget(directory: Path, former: list[File], files: list[File]) -> None:
    """Remove what the last manifest had and this one has not: an engine would load it, too."""
    for path in {file.path for file in former} - {file.path for file in files}:
        (directory / path).unlink(missing_ok=True)
        log.info("%s: removed, the model no longer has it", path)


def known(directory: Path) -> list[File]:
    """Return the files of the manifest last seen; none if there was none."""
    try:
        return parse((directory / MANIFEST).read_bytes())
    except (OSError, StoreTrouble):
        return []


def manifest(url: str) -> bytes:
    """Return what the store says there is.

    Raises:
        StoreTrouble: it does not, or not in time, however often a byte of it comes.
    """
    place, text = f"{url}/manifest.json", b""
    deadline = time.monotonic() + MANIFEST_SECONDS
    for chunk in fetch(place, at_most=MANIFEST_BYTES):
        text += chunk
        if time.monotonic() > deadline:
            raise StoreTrouble(f"{place}: not whole within {MANIFEST_SECONDS:g} s")
    return text


def fill(url: str, directory: Path) -> None:
    """Make the cache hold what the store's manifest says.

    Raises:
        StoreTrouble: something is missing; what came stays.
    """
    former = known(directory)
    try:
        text = manifest(url)
    except StoreTrouble as error:
        if former and all(is_right(directory, file) for file in former):
            log.warning("%s; the cache is whole as of the last manifest and will do", error)
            return
        raise
    files = parse(text)
    missing = [file for file in files if not is_right(directory, file)]
    log.info("%s: %d files, %d of them to fetch", url, len(files), len(missing))
    for file in missing:
        download(url, directory, file)
    forget(directory, former, files)
    unfinished = directory / f"{MANIFEST}.new"
    unfinished.write_bytes(text)
    unfinished.rename(directory / MANIFEST)
    log.info("the cache is whole: %d bytes", sum(file.size_bytes for file in files))


def fill_patiently(url: str, directory: Path, give_up_seconds: float) -> bool:
    """Try until the cache is whole; False: it is not, and time is up."""
    deadline, pause = time.monotonic() + give_up_seconds, FIRST_PAUSE_SECONDS
    while True:
        try:
            fill(url, directory)
        except (StoreTrouble, OSError) as error:  # An OSError is the node's own disk.
            if time.monotonic() + pause > deadline:
                log.error("%s; gave up after %g s", error, give_up_seconds)  # noqa: TRY400
                return False
            log.warning("%s; next try in %g s", error, pause)
        else:
            return True
        # This program runs in a stock image, without hotfire.waiting.
        time.sleep(pause)  # noqa: TID251
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other pods of the node from filling the same cache meanwhile."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(url: str, directory: str, give_up_seconds: str = str(GIVE_UP_SECONDS)) -> int:
    logging.basicConfig(level=logging.INFO, format="model-cache: %(message)s", stream=sys.stdout)
    with alone(Path(directory)):
        filled = fill_patiently(url.rstrip("/"), Path(directory), float(give_up_seconds))
    return 0 if filled else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
