"""A worker of a distributed load, from the installed package: finds the locustfile for Locust.

    python -m hotfire.traffic.process.join --master-host HOST [--master-port PORT]

The same as ``locust --worker --locustfile .../locustfile.py`` with these options.
"""

import os
import sys
from pathlib import Path

LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def command(*options: str) -> list[str]:
    """Return the argument list of a worker."""
    worker = ("--worker", "--locustfile", str(LOCUSTFILE))
    return [sys.executable, "-P", "-m", "locust", *worker, *options]


if __name__ == "__main__":
    os.execv(sys.executable, command(*sys.argv[1:]))  # noqa: S606 - becomes that program
