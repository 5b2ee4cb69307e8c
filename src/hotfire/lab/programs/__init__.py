"""Programs that run inside machines and pods, by their path: the standard library only."""

from pathlib import Path


def path(name: str) -> Path:
    """Return where a program lies on the host."""
    return Path(__file__).parent / name
