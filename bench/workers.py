"""Does the number of workers change what is measured? Prints percentiles and their differences.

``python bench/workers.py [--rate 40] [--seconds 30] [--rounds 2] [--workers 1 2]``. The same plan
runs in turn with each number of workers against a scripted engine that writes down when it wrote
each first and last token. Compared is how late the instrument saw them, so that a busy machine's
slow engine is not taken for a difference. One counts if its 95 % bootstrap interval leaves out
zero and it exceeds a millisecond; then the exit code is 1.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from hotfire.measure.history import Request
from hotfire.traffic.capacity.calibrate import engine
from hotfire.traffic.record.files import Ended
from hotfire.traffic.runner.launch import running
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.texts import Texts

STAMPS = ("first", "last")
DRAWS = 2000
NEGLIGIBLE_SECONDS = 0.001
Values = NDArray[np.float64]


def measured(plan: LoadPlan, folder: Path) -> dict[str, Values]:
    """Return how late each stamp was over a load, and print how fit the load was."""
    history = folder / f"{time.monotonic_ns()}.jsonl"
    with running(plan, history=history, log=history.with_suffix(".log")) as load:
        report = load.wait_finished(plan.duration_seconds + 120)
        late = lateness(load.rows(), Texts(load.plan), truths(plan.url))
    ended = Ended.model_validate_json(load.files.ended.read_bytes())
    tripped = [gate.reason for gate in report.instrument if not gate.holds]
    clocks = ", ".join(f"{w.clock_error_seconds * 1e6:.0f}" for w in ended.workers)
    print(
        f"{plan.workers} workers: {report.received} of {report.planned} rows,"
        f" dispatch late p99 {ended.measured.lateness_p99_seconds * 1e3:.2f} ms,"
        f" CPU of the busiest {ended.measured.cpu_ratio:.1%},"
        f" clock error {clocks or '0'} us; {'; '.join(tripped) or 'every gate holds'}",
        flush=True,
    )
    return late


def truths(url: str) -> dict[str, dict[str, int]]:
    """Return the engine's own record of each request, by the start of its prompt."""
    with urlopen(f"{url}/admin/truth", timeout=60) as answer:  # noqa: S310 - our own engine
        return {record["prompt"]: record for record in json.load(answer)["records"]}


def lateness(
    rows: Sequence[Request], texts: Texts, engine_said: dict[str, dict[str, int]]
) -> dict[str, Values]:
    """Return the seconds from the engine's writing to the instrument's stamp."""
    late: dict[str, list[float]] = {name: [] for name in STAMPS}
    for row in rows:
        truth = engine_said.get(texts.prompt(row.prompt_id)[:80])
        for name in STAMPS if truth and row.complete else ():
            late[name].append((getattr(row, f"{name}_ns") - truth[f"{name}_ns"]) / 1e9)
    return {name: np.array(values) for name, values in late.items()}


def difference(one: Values, other: Values, q: float) -> tuple[float, float, float]:
    """Return how much the second percentile is larger, with its 95 % bootstrap interval."""
    chance = np.random.default_rng(1)
    drawn = [
        np.percentile(chance.choice(other, len(other)), q)
        - np.percentile(chance.choice(one, len(one)), q)
        for _ in range(DRAWS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.percentile(other, q) - np.percentile(one, q)), float(low), float(high)


def compare(results: dict[int, dict[str, Values]]) -> bool:
    """Print each difference from the fewest workers; return whether none counts."""
    alike = True
    (first, base), *others = results.items()
    for workers, other in others:
        for name in STAMPS:
            for q in (50, 95, 99):
                change, low, high = difference(base[name], other[name], q)
                counts = not low <= 0 <= high and abs(change) > NEGLIGIBLE_SECONDS
                alike &= not counts
                before = np.percentile(base[name], q) * 1e3
                print(
                    f"{name} token seen late p{q}: {before:6.2f} ms with {first},"
                    f" {change * 1e3:+.2f} ms with {workers}"
                    f" ({low * 1e3:+.2f} to {high * 1e3:+.2f}){'  DIFFERS' if counts else ''}"
                )
    return alike


def main() -> int:
    """Run the loads one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    rounds = []
    with (
        engine("--ttft-seconds", "0.1", "--tpot-seconds", "0.02") as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        for workers in options.workers * options.rounds:
            plan = LoadPlan(
                url=url,
                model="tiny",
                rate_per_second=options.rate,
                duration_seconds=options.seconds,
                workers=workers,
            )
            rounds.append((workers, measured(plan, Path(folder))))
    results = {
        workers: {
            name: np.concatenate([late[name] for each, late in rounds if each == workers])
            for name in STAMPS
        }
        for workers in options.workers
    }
    return 0 if compare(results) else 1


if __name__ == "__main__":
    sys.exit(main())
