"""A process that must not outlive the one that started it."""

import ctypes
import os
import signal
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with(parent: int) -> bool:
    """Have the kernel kill this process when its parent ends; return whether that is still there.

    It may have ended while this process was starting. Only Linux does the first.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent
