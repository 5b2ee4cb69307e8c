"""``hotfire prove``: every check against its broken twin, every fault against its sham."""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.table import Table
from rich.text import Text

from hotfire.cli.catalogue import CatalogueEntry, entries, named
from hotfire.cli.child import termination_as_interrupt
from hotfire.cli.lab_tests import (
    carried_out,
    name_of,
    require_checkout,
    test_and_case,
    trouble_of,
)
from hotfire.own_folders import project_root
from hotfire.terminal import Terminal

EVERYTHING_VARIABLE: Final = "HOTFIRE_PROVE_EVERYTHING"
"""Set for the tests: take every twin and every fault, not only those that are quick."""
_CHECKS: Final = "tests/lab/test_every_check_can_fail.py"
_OTHER_LABS: Final = "tests/topologies/test_checks_on_other_labs.py"
_FAULTS: Final = "tests/lab/test_every_fault_is_proven.py"
_COLUMNS: Final = {
    "test_check_passes_on_a_sound_platform": "passes sound",
    "test_check_fails_on_its_broken_twin": "fails broken",
    "test_fault_happens_and_is_over": "happens",
    "test_sound_platform_withstands_the_fault": "passes sound",
    "test_sham_of_the_fault_is_inconclusive": "inconclusive sham",
}
_ORDER: Final = ("happens", "passes sound", "fails broken", "inconclusive sham")
_DONE: Final = re.compile(r"::(\w+)\[([^\]]+)\] (PASSED|FAILED|ERROR|SKIPPED)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One row: what was shown of a check or a fault."""

    id: str
    shown: dict[str, bool]
    """By column; what was not tried is missing."""
    seconds: float
    why: str
    """Of the first that was not as it must be."""

    @property
    def holds(self) -> bool:
        """Whether everything that was tried came out as it must."""
        return bool(self.shown) and all(self.shown.values())


def carry_out(only: Sequence[str]) -> int:
    """Prove what is asked for on the lab, print it, and return 0 only if all of it holds.

    Raises:
        ProfileError: an id is unknown, or this is no checkout with its tests.
        HarnessError: pytest itself broke down.
    """
    root, console = project_root(), Terminal(highlight=False)
    chosen = named(only, entries(root))
    require_checkout(root, _CHECKS)
    console.print(Text(f"proving {len(chosen)} checks and faults on the lab"))
    with termination_as_interrupt(), TemporaryDirectory(prefix="hotfire-prove-") as folder:
        proofs = _proven(chosen, root, Path(folder), console)
    console.print(_table(proofs))
    weak = [one for one in proofs if not one.holds]
    for one in weak:
        console.print(Text(f"{one.id}: {one.why or 'nothing was shown'}", style="bold red"))
    console.print(Text(f"{len(proofs) - len(weak)} of {len(proofs)} are proven"))
    return 1 if weak else 0


def _proven(
    chosen: Sequence[CatalogueEntry], root: Path, folder: Path, console: Terminal
) -> list[Proof]:
    # One lab stands at a time: the usual one, which stays until the end, comes second.
    files = {_OTHER_LABS: "check", _CHECKS: "check", _FAULTS: "fault"}
    kinds = {one.kind for one in chosen}
    os.environ[EVERYTHING_VARIABLE] = "1"
    told = 0

    def look(log: str) -> None:
        nonlocal told
        lines = _DONE.findall(log)
        for test, case, outcome in lines[told:]:
            console.print(Text(f"  {outcome.lower():8} {_COLUMNS.get(test, test)}: {case}"))
        told = len(lines)

    asked = [file for file, kind in files.items() if kind in kinds]
    cases = carried_out(asked, chosen, root=root, folder=folder, look=look)
    return [_proof(one, cases) for one in chosen]


def _proof(entry: CatalogueEntry, cases: Iterable[ET.Element]) -> Proof:
    shown, seconds, why = {}, 0.0, ""
    for case in cases:
        test, name = test_and_case(case)
        if name != name_of(entry) or test not in _COLUMNS:
            continue
        trouble = trouble_of(case)
        shown[_COLUMNS[test]] = trouble is None
        seconds += float(case.get("time", "0"))
        if trouble is not None:
            why = why or f"{_COLUMNS[test]}: no: {trouble}"
    return Proof(id=entry.requirement.id, shown=shown, seconds=seconds, why=why)


def _table(proofs: Iterable[Proof]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", *_ORDER, "seconds"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    words = {True: Text("yes", style="green"), False: Text("NO", style="bold red"), None: Text("")}
    for one in proofs:
        cells = [words[one.shown.get(name)] for name in _ORDER]
        table.add_row(Text(one.id), *cells, Text(f"{one.seconds:.1f}"))
    return table
