"""What a large history costs to pack, to read and to judge: prints a table.

``python bench/history.py [--requests 100000] [--tokens 100]``. Each step runs in a process of its
own, so that its peak memory is its own; the history is generated, with one outage in the middle.
"""

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hotfire.measure import history
from hotfire.measure.budgets import judged
from hotfire.measure.comparison import Before
from hotfire.measure.crosscheck import cross_check
from hotfire.measure.history import FailureClass, Request, to_row
from hotfire.measure.recovery import recover
from hotfire.measure.slo import Account
from hotfire.profile import PRESETS, Measurement
from reports._figure import figure

T0_NS = 1_800_000_000 * 10**9
RATE_PER_SECOND = 100
OUTAGE = (0.4, 0.45)
"""Where users were not served, as parts of the whole."""


def write(path: Path, count: int, tokens: int) -> None:
    chance = random.Random(1)  # noqa: S311 - reproducible, not secret
    with path.open("w", encoding="utf-8") as file:
        for seq in range(count):
            row = to_row(made(seq, count, tokens, chance))
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


def made(seq: int, count: int, tokens: int, chance: random.Random) -> Request:
    sched_ns = T0_NS + seq * 10**9 // RATE_PER_SECOND
    if OUTAGE[0] * count <= seq < OUTAGE[1] * count:
        end_ns = sched_ns + 10**6
        return Request(
            seq=seq, sched_ns=sched_ns, send_ns=sched_ns, end_ns=end_ns,
            error_class=FailureClass.HTTP_503, status=503,
        )  # fmt: skip
    gaps = [int(20_000 + 4_000 * chance.random()) for _ in range(tokens - 1)]
    first_ns = sched_ns + int(2e8 * (1 + 0.2 * chance.random()))
    last_ns = first_ns + 1000 * sum(gaps)
    return Request(
        seq=seq, sched_ns=sched_ns, send_ns=sched_ns + 10**5, headers_ns=sched_ns + 10**6,
        first_ns=first_ns, first_output_ns=first_ns, last_ns=last_ns, end_ns=last_ns + 10**5,
        n_in=33, n_out=tokens, finish_reason="length", status=200,
        served_by="vllm-0", conn_reused=True, gaps_us=tuple(gaps), prompt_id=seq,
    )  # fmt: skip


def judge(path: Path) -> None:
    rows = history.load(path)
    start = rows[round(OUTAGE[0] * len(rows))].sched_ns
    baseline = [row for row in rows if row.sched_ns < start]
    recover(
        rows,
        injected_ns=start,
        cleared_ns=rows[round(OUTAGE[1] * len(rows))].sched_ns,
        before=Before.of(baseline, PRESETS["lab"], Measurement()),
    )


def summary(path: Path) -> None:
    account = Account.of(history.stream(path), PRESETS["lab"])
    account.summary()
    judged(account, PRESETS["lab"])


def end_of_load(path: Path) -> None:
    """Do what ``hotfire load`` does with the rows once the load has ended."""
    history.count(path)
    cross_check(history.stream(path), None, None)
    summary(path)
    history.to_parquet(path, path.with_suffix(".parquet"))


def plot(path: Path) -> None:
    figure(history.load(path), []).to_html(full_html=False, include_plotlyjs=False)


def measured(step: Callable[[], object]) -> tuple[float, float]:
    """Return seconds and peak megabytes of a step in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def child() -> None:
        began = time.monotonic()
        step()
        seconds = time.monotonic() - began
        sender.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    sender.close()
    found: tuple[float, float] = receiver.recv()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--tokens", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines, packed = Path(folder, "h.jsonl"), Path(folder, "h.parquet")
        measured(lambda: write(lines, options.requests, options.tokens))
        steps: dict[str, Callable[[], object]] = {
            "pack as Parquet": lambda: history.to_parquet(lines, packed),
            "read JSONL": lambda: history.load(lines),
            "read Parquet": lambda: history.load(packed),
            "read, figures and budgets": lambda: summary(packed),
            "all that hotfire load does": lambda: end_of_load(lines),
            "read, bands and recovery": lambda: judge(packed),
            "read and plot": lambda: plot(packed),
        }
        print(f"{options.requests:,} requests of {options.tokens} tokens")
        for name, step in steps.items():
            seconds, megabytes = measured(step)
            print(f"{name:<28}{seconds:8.2f} s{megabytes:8.0f} MB")
        tokens = options.requests * options.tokens
        for name, path in (("JSONL", lines), ("Parquet", packed)):
            print(f"{name:<28}{path.stat().st_size / tokens:8.2f} bytes a token")


if __name__ == "__main__":
    main()
