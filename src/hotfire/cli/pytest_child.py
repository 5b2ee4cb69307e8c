"""pytest as the child of ``hotfire certify``: it must not outlive it.

A runner killed with SIGKILL cannot heal, so what it started must not go on breaking things: the
kernel ends it too, and the undo journal and the leases do the rest.
"""

import signal
import sys

import pytest

from hotfire.parent import end_with


def main(parent: int, arguments: list[str]) -> int:
    """Run pytest and return its exit status; die at once when the parent is gone."""
    # It may have been inherited as ignored, and is how the parent asks for the cleanup.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not end_with(parent):
        return int(pytest.ExitCode.INTERRUPTED)
    return int(pytest.main(arguments))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
