"""Every check names the broken twin that proves it can fail."""

from pathlib import Path

from hotfire.cli.catalogue import companions, entries
from hotfire.own_folders import project_root


def test_every_suite_file_has_a_broken_twin() -> None:
    root = project_root()
    stems = {path.stem.removeprefix("test_") for path in (root / "suites").glob("*/test_*.py")}
    twins = {path.stem for path in Path(root, "tests", "defects").glob("*.py")} - {"__init__"}

    assert stems
    assert stems == twins


def test_who_falls_with_a_twin_is_another_check_of_its_area() -> None:
    root = project_root()
    checks = [entry for entry in entries(root) if entry.kind == "check"]
    areas = {entry.requirement.id: entry.area for entry in checks}

    for entry in checks:
        for id_ in companions(entry, root):
            assert id_ != entry.requirement.id
            assert areas[id_] == entry.area, f"{entry.twin}: {id_}"
