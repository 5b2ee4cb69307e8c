"""The lab with an add-on that one check alone asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.lab import Lab
from tests.scaled import extended


@contextmanager
def added(name: str) -> Iterator[Lab]:
    """Have an add-on for the length of a block, and beyond: a lab loses none."""
    yield extended(name)
