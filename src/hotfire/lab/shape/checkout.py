"""Where the checkout lies that this code runs from."""

from pathlib import Path


def project_root() -> Path:
    """Return the checkout this code runs from."""
    return Path(__file__).resolve().parents[4]
