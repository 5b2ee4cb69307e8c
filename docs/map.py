"""Writes docs/map.md: one sentence for every source file, taken from the file itself.

``python docs/map.py`` writes the page, ``python docs/map.py --check`` fails if it is not fresh.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "map.md"
FOLDERS = ("suites", "experiments", "fixtures", "reports", "src/hotfire", "bench", "docs")
HEAD = """# Map

Every source file in a sentence, by folder. A check in `suites/` has its broken twin under the
same name in `tests/defects/`. `make map` writes this page from the first line of each file, and
`make static` fails if it is not fresh.
"""


def page() -> str:
    """Return the page as it should be."""
    folders: dict[Path, list[Path]] = {}
    for path in sorted(path for folder in FOLDERS for path in _sources(ROOT / folder)):
        folders.setdefault(path.parent, []).append(path)
    order = {ROOT / folder: number for number, folder in enumerate(FOLDERS)}
    tops = {folder: next(top for top in order if folder.is_relative_to(top)) for folder in folders}
    inside = sorted(folders, key=lambda folder: (order[tops[folder]], folder))
    return "\n".join([HEAD, *(_section(folder, folders[folder]) for folder in inside)])


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if _is_source(path) and not any(part.startswith((".", "__py")) for part in inside):
            yield path


def _is_source(path: Path) -> bool:
    """Return whether a file is a program: by its name, or by its first two bytes."""
    if path.suffix in {".py", ".c", ".go"}:
        return True
    if path.suffix == ".yaml":
        return path.is_relative_to(ROOT / "experiments")
    return path.is_file() and not path.suffix and path.read_bytes()[:2] == b"#!"


def _section(folder: Path, paths: list[Path]) -> str:
    about = folder / "__init__.py"
    lines = [f"## {folder.relative_to(ROOT)}\n"]
    lines += [f"{sentence(about)}\n"] if about in paths else []
    lines += [f"- `{path.name}`: {sentence(path)}" for path in paths if path != about]
    return "\n".join(lines).rstrip("\n") + "\n"


def sentence(path: Path) -> str:
    """Return what a file says about itself in its first line.

    Raises:
        SystemExit: it says nothing.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        found = re.search(r"^title: *(.+)$", text, re.MULTILINE)
        said = found[1] if found else ""
    elif path.suffix in {".c", ".go"}:
        said = text.splitlines()[0].strip("/* ")
    else:
        said = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    if not said:
        raise SystemExit(f"{path.relative_to(ROOT)} does not say what it is in its first line")
    return said if said.endswith((".", "?", "!")) else f"{said}."


def main(words: list[str]) -> int:
    """Write the page, or compare it."""
    if words != ["--check"]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/map.md is out of date: `make map` writes it anew\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
