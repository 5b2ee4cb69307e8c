"""`chaos`, bound to the life of its driver: `python -m hotfire.experiment DRIVER_PID ...`."""

import runpy
import sys

from hotfire.chaos import beside
from hotfire.experiment.loads import load_beside
from hotfire.parent import end_with


def main(driver: str, *arguments: str) -> None:
    """Run one Chaos Toolkit command; be killed when the driver dies, for nothing may fire then."""
    if not end_with(int(driver)):
        raise SystemExit("the driver is gone")
    beside.provide(load_beside)
    sys.argv = ["chaos", "--no-version-check", *arguments]
    runpy.run_module("chaostoolkit", run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
