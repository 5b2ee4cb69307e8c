"""`chaos`, bound to the life of its driver: `python -m hotfire.experiment DRIVER_PID ...`."""

import ctypes
import os
import runpy
import signal
import sys
from contextlib import suppress

from hotfire.chaos import beside
from hotfire.experiment.loads import load_beside

_PR_SET_PDEATHSIG = 1


def main(driver: str, *arguments: str) -> None:
    """Run one Chaos Toolkit command; be killed when the driver dies, for nothing may fire then."""
    with suppress(OSError, AttributeError):
        # Linux only; elsewhere the process of a killed driver ends by itself.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(driver):
        raise SystemExit("the driver is gone")
    beside.provide(load_beside)
    sys.argv = ["chaos", "--no-version-check", *arguments]
    runpy.run_module("chaostoolkit", run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
