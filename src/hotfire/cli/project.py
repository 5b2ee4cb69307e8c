"""Where things lie: runs and report formats."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from hotfire.errors import HistoryError, ProfileError
from hotfire.own_folders import project_root, runs_folder
from hotfire.requirement import Requirement
from hotfire.rundir import RunDirectory


class ReportFormat(Protocol):
    """A file of reports/: its suffix, and a document from a run directory alone."""

    SUFFIX: str

    def render(self, run: RunDirectory) -> str:
        """Return the whole document."""


@runtime_checkable
class FolderFormat(Protocol):
    """A file of reports/ that makes several files, to be handed in somewhere."""

    def files(
        self, run: RunDirectory, folder: Path, wanted: Iterable[Requirement]
    ) -> dict[str, str]:
        """Return the text of each file by its path below a folder, which may hold earlier ones."""

    def problems(self, run: RunDirectory, folder: Path) -> list[str]:
        """Return what is left to do before those files may be handed in."""


def find_run(name: str) -> RunDirectory:
    """Return a run by its path, its name below runs/, or ``latest``.

    Raises:
        ProfileError: there is none.
    """
    for path in (Path(name), runs_folder() / name):
        if (path / "run.json").exists():
            return _open(path)
    raise ProfileError(f"no run {name!r}: neither a run directory nor a name below runs/")


def _open(path: Path) -> RunDirectory:
    with of_a_run(path):
        return RunDirectory.open_foreign(path)


@contextmanager
def of_a_run(path: Path) -> Iterator[None]:
    """Tell in one line, as of an argument, what is wrong with a recorded run.

    Raises:
        ProfileError: something of it cannot be read, or it cannot be written to.
    """
    try:
        yield
    except (HistoryError, OSError, RecursionError) as error:
        told = str(error)
        raise ProfileError(told if str(path) in told else f"{path}: {told}") from error


def format_names() -> list[str]:
    """Return the stems of the files in reports/ that are formats."""
    folder = project_root() / "reports"
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def document_names() -> list[str]:
    """Return the formats that every run is told in: those that make one document."""
    return [name for name in format_names() if not isinstance(load_format(name), FolderFormat)]


def load_format(name: str) -> ReportFormat | FolderFormat:
    """Return one format.

    Raises:
        ProfileError: there is no such file.
    """
    if name not in format_names():
        raise ProfileError(f"no report format {name!r}; there are {', '.join(format_names())}")
    _make_reports_importable(project_root() / "reports")
    return cast("ReportFormat | FolderFormat", importlib.import_module(f"reports.{name}"))


def _make_reports_importable(folder: Path) -> None:
    """Register the package by its place: the checkout is not on the path, and need not be."""
    if "reports" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "reports", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ProfileError(f"{folder} is no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules["reports"] = package
    spec.loader.exec_module(package)
