"""Parts of C++: one program and a model for it are what is left of all the sources."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hotfire.lab.build import native
from hotfire.lab.build.native import NativePart
from hotfire.lab.cluster import on_demand
from hotfire.lab.shape.progress import Progress

# Each says what it was asked for; ninja leaves its program where CMake's build folder is.
CMAKE = "#!/bin/sh\nexit 0\n"
NINJA = '#!/bin/sh\nmkdir -p "$2/bin"; echo "built $3" > "$2/bin/$3"\n'
# Of the library only that what it writes is what it was told.
GGUF = """
class TokenType:
    NORMAL, CONTROL = 1, 3
class GGUFWriter:
    def __init__(self, path, kind):
        self.path, self.told = path, [kind]
    def __getattr__(self, name):
        return lambda *words: self.told.append((name, words))
    def close(self):
        with open(self.path, "w") as file:
            print(len(self.told), self.told[0], file=file)
"""


@pytest.fixture
def part(tmp_path: Path) -> NativePart:
    folder = tmp_path / "pins" / "engine"
    folder.mkdir(parents=True)
    (folder / "package.txt").write_text("engine==1\n")
    return NativePart(
        name="engine", program="serve", sources="src", options=("-DX=1",), model="tiny.gguf",
        root=tmp_path / "pins",
    )  # fmt: skip


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """A place to build in where the sources have been fetched already."""
    library = tmp_path / "staging/work/sources/gguf-py"
    library.mkdir(parents=True)
    (library / "gguf.py").write_text(GGUF)
    return tmp_path / "staging"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What compiles, but for compiling."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, text in {"cmake": CMAKE, "ninja": NINJA}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.usefixtures("tools")
def test_a_program_and_its_model_are_left(part: NativePart, staging: Path) -> None:
    native.build(part, staging, Progress(lambda _: None))

    left = {str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file()}
    assert left == {"bin/serve", "bin/tiny.gguf"}
    assert (staging / "bin/serve").read_text() == "built serve\n"
    assert (staging / "bin/tiny.gguf").read_text().endswith("llama\n")


def test_fingerprint_changes_with_the_package_and_the_options(part: NativePart) -> None:
    before = part.fingerprint()

    assert replace(part, options=()).fingerprint() != before
    (part.source / "package.txt").write_text("engine==2\n")
    assert part.fingerprint() != before


def test_what_llama_cpp_is_fetched_by_is_pinned() -> None:
    part = on_demand.read("llama-cpp").built_part

    assert isinstance(part, NativePart)
    for name in ("package.txt", "backend.txt"):
        text = (part.source / name).read_text()
        assert re.findall(r"^[a-z-]+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
