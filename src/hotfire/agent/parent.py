"""A process that carries out a fault ends with the agent that started it."""

import ctypes
import os

_PR_SET_PDEATHSIG = 1


def end_with(agent_pid: int, number: int) -> None:
    """Have the kernel send a signal when the agent ends; leave if it did so while we started."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != agent_pid:
        raise SystemExit("the agent is gone")
