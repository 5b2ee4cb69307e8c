"""``hotfire list`` and ``hotfire explain``."""

import difflib
import json
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from hotfire.cli.catalogue import CatalogueEntry, entries
from hotfire.errors import ProfileError
from hotfire.own_folders import project_root
from hotfire.terminal import Terminal

_WIDE = 120


def listed(own: Path | None) -> None:
    """Print one line per requirement, with those of a folder of the operator's own."""
    console = Terminal(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("id", "level", "area"):
        table.add_column(name, no_wrap=True)
    table.add_column("statement")
    if console.width >= _WIDE:
        table.add_column("file", no_wrap=True)
    for entry in entries(project_root(), own):
        claim = entry.requirement
        row = (claim.id, claim.level, entry.area, claim.statement, entry.path.as_posix())
        table.add_row(*map(Text, row[: len(table.columns)]))
    console.print(table)


def listed_as_json(own: Path | None) -> str:
    """Return every requirement as a JSON array."""
    return json.dumps([_facts(entry) for entry in entries(project_root(), own)], indent=2)


def _facts(entry: CatalogueEntry) -> dict[str, Any]:
    claim = entry.requirement
    return {
        "id": claim.id,
        "level": claim.level,
        "kind": entry.kind,
        "area": entry.area,
        "statement": claim.statement,
        "rationale": claim.rationale,
        "features": sorted(claim.features),
        "source": claim.source,
        "cncf": claim.cncf,
        "file": entry.path.as_posix(),
        "twin": entry.twin.as_posix() if entry.twin else None,
        "unprovable": claim.unprovable,
    }


def explained(id_: str, own: Path | None) -> None:
    """Print everything the files say about one requirement.

    Raises:
        ProfileError: there is none of that id.
    """
    known = {entry.requirement.id: entry for entry in entries(project_root(), own)}
    entry = known.get(id_.upper())
    if entry is None:
        near = difflib.get_close_matches(id_.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "see hotfire list"
        raise ProfileError(f"no requirement {id_!r}; {hint}")
    claim = entry.requirement
    console = Terminal(highlight=False)
    for line in _lines(entry):
        # A link or a path that was broken in two cannot be followed.
        console.print(Text(line), soft_wrap=line not in {claim.statement, claim.rationale})


def _lines(entry: CatalogueEntry) -> list[str]:
    claim = entry.requirement
    features = ", ".join(sorted(claim.features))
    facts = {
        "applies": f"to targets that claim {features}" if features else "always",
        "decided by": entry.path.as_posix(),
        "can fail": _proof(entry),
        "source": claim.source,
        "CNCF": claim.cncf or "",
    }
    facts |= dict(entry.limits)
    width = max(len(name) for name in [*facts, *(name for name, _ in entry.steps)]) + 2
    steps = [f"  {name:<{width}}{said}".rstrip() for name, said in entry.steps]
    return [
        f"{claim.id}  {claim.level}  {entry.area}  ({entry.kind})",
        "",
        claim.statement,
        "",
        claim.rationale,
        "",
        *(f"{name:<{width + 2}}{said}" for name, said in facts.items() if said),
        "cases" if entry.kind == "check" else "steps",
        *steps,
    ]


def _proof(entry: CatalogueEntry) -> str:
    if entry.kind == "fault":
        return "judged against its budgets from the recorded history"
    if entry.requirement.unprovable:
        return f"not proven: {entry.requirement.unprovable}"
    if entry.twin:
        return f"shown by {entry.twin.as_posix()}"
    if not (entry.path.is_absolute() or (project_root() / "tests").is_dir()):
        return "shown by its broken twin, which lies in hotfire's checkout and is not installed"
    return "not shown: no defect twin yet"
