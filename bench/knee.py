"""Finds the knee of a scripted engine whose capacity is known: prints each trial and the error.

``python bench/knee.py [--slots 4] [--seconds 20]``. The engine runs a fixed number of generations
at a time, each for a fixed time, so that it serves slots / (TTFT + (n - 1) x TPOT) requests per
second and no more. Even arrivals meet that limit; Poisson arrivals queue before it. Takes some
minutes; the found rate must lie within 10 % of the limit for even arrivals.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from hotfire.engine import scripted
from hotfire.profile import Budgets
from hotfire.traffic.capacity.knee import Effort, find_knee, knee_trials
from hotfire.traffic.capacity.trial import RateTrial
from hotfire.traffic.workload.plan import LoadPlan

TTFT_SECONDS, TPOT_SECONDS, TOKENS = 0.05, 0.01, 6
BUDGETS = Budgets(ttft_p95_seconds=0.5, error_ratio=0.01)


def show(trial: RateTrial) -> None:
    """Print one line."""
    print(
        f"  {trial.rate_per_second:8.2f}/s  {trial.requests:5} requests  {trial.verdict:12}"
        f"  {trial.confidence:6.1%} sure  {trial.reason}",
        flush=True,
    )


def main() -> int:
    """Search with even and with Poisson arrivals; fail where the known limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    capacity = options.slots / (TTFT_SECONDS + (TOKENS - 1) * TPOT_SECONDS)
    command = [sys.executable, "-I", scripted.__file__, "--host", "127.0.0.1", "--port", "0"]
    command += ["--ttft-seconds", str(TTFT_SECONDS), "--tpot-seconds", str(TPOT_SECONDS)]
    command += ["--max-running", str(options.slots), "--name", "knee"]
    effort = Effort(seconds=options.seconds)
    found = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as engine:
        try:
            port = (engine.stdout.readline() if engine.stdout else "").split()[-1]
            for process in ("constant", "poisson"):
                print(f"{process}: the engine serves {capacity:.1f}/s", flush=True)
                fields = {"url": f"http://127.0.0.1:{port}", "model": "tiny", "process": process}
                fields |= {"rate_per_second": capacity / 3, "max_tokens": TOKENS}
                plan = LoadPlan.model_validate(fields | {"deadline_seconds": 10})
                with tempfile.TemporaryDirectory() as folder:
                    knee = find_knee(knee_trials(plan, BUDGETS, Path(folder), effort=effort), show)
                found[process] = knee.rate_per_second
                print(f"  {knee.statement}\n  {knee.rate_per_second / capacity:.1%} of capacity")
        finally:
            engine.kill()
    return 0 if abs(found["constant"] / capacity - 1) <= 0.1 else 1


if __name__ == "__main__":
    sys.exit(main())
