"""What is reached past the cluster, by a command of the target file: machines' agents, power."""

import subprocess
from collections.abc import Sequence

from hotfire.cluster import ExecResult
from hotfire.errors import ClusterError


def run(argv: Sequence[str], *, within_seconds: float) -> ExecResult:
    """Return how a command ended, whatever it said.

    Raises:
        ClusterError: it could not be started, or took too long.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_seconds,
            check=False,
            # An interrupt of the terminal is for us; what was asked for is carried out.
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{argv[0]} did not run: {error}") from error
    return ExecResult(rc=done.returncode, stdout=done.stdout, stderr=done.stderr)
