"""Where hotfire's own folders lie: in the checkout this code runs from, else in the package."""

from importlib import resources
from pathlib import Path
from typing import Final

from hotfire.errors import ProfileError

CARRIED: Final = "_project"
"""Folder of the installed package for what a checkout has beside ``src``; setup.py fills it."""


def project_root() -> Path:
    """Return the folder that holds suites, experiments, fixtures, reports and reference-stack.

    Raises:
        ProfileError: there is none: neither a checkout nor a whole installation.
    """
    checkout, carried = _checkout(), Path(str(resources.files("hotfire"))) / CARRIED
    for root in (checkout, carried):
        if (root / "suites").is_dir():
            return root
    raise ProfileError(
        f"no suites/ in {checkout} or {carried}: install hotfire's wheel as files, or from a"
        " checkout (pip install -e)"
    )


def runs_folder() -> Path:
    """Return where runs are kept: the checkout's runs/, else that of the current directory.

    An installation may be anybody's, and not to be written to.
    """
    checkout = _checkout()
    return (checkout if (checkout / "suites").is_dir() else Path.cwd()) / "runs"


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]
