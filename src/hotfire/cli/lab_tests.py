"""Tests of this checkout that need the lab, run by a command: followed, and what came of them."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from hotfire.cli.catalogue import CatalogueEntry
from hotfire.cli.child import Child
from hotfire.errors import HarnessError, ProfileError

# What was skipped was not shown.
_TROUBLES: Final = {"failure", "error", "skipped"}


def name_of(entry: CatalogueEntry) -> str:
    """Return the name under which the tests know a check or a fault."""
    return entry.path.stem.removeprefix("test_")


def require_checkout(root: Path, file: str) -> None:
    """Refuse an installation: it carries no tests.

    Raises:
        ProfileError: the file is not there.
    """
    if not (root / file).exists():
        raise ProfileError(f"no {file} in {root}: twins and shams lie in a checkout")


def carried_out(
    files: Sequence[str],
    chosen: Iterable[CatalogueEntry],
    *,
    root: Path,
    folder: Path,
    look: Callable[[str], None],
) -> list[ET.Element]:
    """Run what files of lab tests hold about some checks and faults; return pytest's test cases.

    Args:
        files: Of tests, relative to the root, in the order of running.
        chosen: Checks and faults.
        root: The checkout.
        folder: Where pytest's log and report are written.
        look: Gets the log so far, again and again until the end.

    Raises:
        HarnessError: pytest itself broke down.
        KeyboardInterrupt: the operator ended it; it has cleaned up.
    """
    report, log = folder / "prove.xml", folder / "pytest.log"
    argv = [*files, "-k", " or ".join(map(name_of, chosen)), "-m", "lab", "-v", "--color=no"]
    argv += ["-p", "no:cacheprovider", f"--junitxml={report}"]
    child = Child.start(argv, root=root, log=log)
    try:
        child.follow(lambda: look(log.read_text(encoding="utf-8", errors="replace")))
    except KeyboardInterrupt:
        child.stop()
        raise
    if not report.exists():
        raise HarnessError(f"pytest broke down: {child.complaint()}")
    return list(ET.parse(report).iter("testcase"))  # noqa: S314 - written by our own


def test_and_case(case: ET.Element) -> tuple[str, str]:
    """Return which test a case of pytest's report is of, and the check or fault it is about."""
    test, _, name = case.get("name", "").partition("[")
    return test, name.removesuffix("]")


def trouble_of(case: ET.Element) -> str | None:
    """Return why a test case did not pass; None if it did."""
    found = next((part for part in case if part.tag in _TROUBLES), None)
    return None if found is None else found.get("message", "")[:500]
