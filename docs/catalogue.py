"""Writes docs/catalogue.md and README's counts from the suites and experiments themselves.

``python docs/catalogue.py`` writes them, ``python docs/catalogue.py --check`` fails if they are not
fresh.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hotfire.cli.catalogue import CatalogueEntry, entries

ROOT = Path(__file__).resolve().parents[1]
PAGE, README = ROOT / "docs" / "catalogue.md", ROOT / "README.md"
COUNTS = re.compile(r"(<!-- counts -->\n).*?(<!-- /counts -->)", re.DOTALL)
HEAD = """# Catalogue

What hotfire verifies and what it breaks, by area. `hotfire explain ID` says of each how it is
decided and why; `hotfire prove ID` shows it on a sound platform, on its broken twin or by its sham.
`make map` writes this page from the files, and `make static` fails if it is not fresh.
"""


def page(found: Sequence[CatalogueEntry]) -> str:
    """Return the page as it should be."""
    checks = [one for one in found if one.kind == "check"]
    faults = [one for one in found if one.kind == "fault"]
    return "\n".join(
        [
            HEAD,
            f"## {len(checks)} requirements\n",
            *_sections(
                checks, ("id", "level", "scope", "statement", "CNCF", "file, and its twin's")
            ),
            f"## {len(faults)} faults\n",
            *_sections(faults, ("id", "level", "scope", "statement", "CNCF", "file")),
        ]
    )


def _sections(found: Sequence[CatalogueEntry], columns: Sequence[str]) -> Iterable[str]:
    for area in sorted({one.area for one in found}):
        rows = [_row(one) for one in found if one.area == area]
        head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        yield "\n".join([f"### {area}\n", *head, *rows]) + "\n"


def _row(one: CatalogueEntry) -> str:
    wanted = one.requirement
    files = [f"`{path}`" for path in (one.path, one.twin) if path is not None]
    about = [wanted.id, wanted.level, wanted.scope, wanted.statement, wanted.cncf or ""]
    cells = [*about, "<br>".join(files)]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def counts(found: Sequence[CatalogueEntry]) -> str:
    """Return README's table: how many requirements and faults each area has."""
    areas = sorted({one.area for one in found})
    rows = [
        f"| {area} | {_count(found, area, 'check')} | {_count(found, area, 'fault')} |"
        for area in areas
    ]
    total = f"| **all** | {_count(found, None, 'check')} | {_count(found, None, 'fault')} |"
    return "\n".join(["| area | requirements | faults |", "|---|---|---|", *rows, total, ""])


def _count(found: Iterable[CatalogueEntry], area: str | None, kind: str) -> int | str:
    number = sum(one.kind == kind and area in {None, one.area} for one in found)
    return number or ""


def main(arguments: Sequence[str]) -> int:
    """Write or check; return 1 if something is not fresh."""
    found = entries(ROOT)
    readme = README.read_text(encoding="utf-8")
    if not COUNTS.search(readme):
        sys.stderr.write("README.md has no <!-- counts --> and <!-- /counts -->\n")
        return 1
    fresh = COUNTS.sub(lambda match: match[1] + counts(found) + match[2], readme)
    wanted = {PAGE: page(found), README: fresh}
    stale = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not fresh: run `make map`\n")
        return int(bool(stale))
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
