"""Every check names the broken twin that proves it can fail."""

from pathlib import Path

from hotfire.own_folders import project_root


def test_every_suite_file_has_a_broken_twin() -> None:
    root = project_root()
    stems = {path.stem.removeprefix("test_") for path in (root / "suites").glob("*/test_*.py")}
    twins = {path.stem for path in Path(root, "tests", "defects").glob("*.py")} - {"__init__"}

    assert stems
    assert stems == twins
