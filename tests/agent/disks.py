"""Small file systems of their own, and the ways in which they stop taking anything."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_BYTES = 1 << 20
INODES = 64


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Mount a file system of one MiB and few inodes."""
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={SIZE_BYTES},nr_inodes={INODES}"
    run("mount", "-t", "tmpfs", "-o", options, "none", str(path))
    try:
        yield path
    finally:
        run("umount", "--lazy", str(path))


def free(path: Path) -> int:
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize


def without_a_free_byte(path: Path) -> None:
    with (path / "foreign").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free(path))


def without_a_free_inode(path: Path) -> None:
    for number in range(os.statvfs(path).f_ffree):
        (path / f"foreign-{number}").touch()


def read_only(path: Path) -> None:
    run("mount", "-o", "remount,ro", str(path))


SPOILED = (without_a_free_byte, without_a_free_inode, read_only)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=10)
