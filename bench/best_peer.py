"""What this project's load costs beside its peers, all in one run on one rig."""

import statistics
from collections.abc import Iterator, Sequence

from bench.clients import (
    OWN,
    Client,
    per_token_us,
    tail_error_ratio,
    true_ttft_ms,
    ttft_error_ms,
)
from bench.judged import Judged, table
from bench.rates import ONE
from bench.rig import Load, Measured, p95, rig

OPEN = Load(mode="open", amount=39, seconds=16)
CLOSED = Load(mode="closed", amount=100, seconds=16)
TURNS = 3
WITHIN = 0.1
"""How far a rate or a p95 may lie from what was asked for or is true before it does not count."""
COLUMNS = (
    "client", "us/token closed", "us/token open", "start-up CPU s", "TTFT error mean ms",
    "TTFT error p95 ms", "TTFT error p95, in step", "valid",
)  # fmt: skip
Row = dict[str, str]


def beside(peers: Sequence[Client]) -> Iterator[Judged]:
    """Run every client, print the table, and judge the difference."""
    rows = []
    for client in (OWN, *peers):
        rows.append(measured(client))
        print("; ".join(f"{name} {rows[-1][name]}" for name in COLUMNS), flush=True)
    print(f"\n{table(COLUMNS, [list(row.values()) for row in rows])}\n", flush=True)
    yield Judged(
        what="own open load at 5k tokens/s is valid",
        measured=rows[0]["valid"] == "yes",
        limit=1,
        at_least=True,
    )
    yield from cheaper(rows, peers)


def measured(client: Client) -> Row:
    """Return the client's row of the table."""
    with rig() as bench:
        start_up = bench.run(client.command, ONE)
        closed = bench.run(client.command, CLOSED)
        opened = bench.run(client.command, OPEN)
    cost = [per_token_us(run, start_up.cpu_seconds) for run in (closed, opened)]
    average, tail = ttft_error_ms(opened)
    start = start_up.report.get("load_cpu_seconds", start_up.cpu_seconds)
    cells = [
        client.name, f"{cost[0]:.1f}", f"{cost[1]:.1f}", f"{start:.2f}", f"{average:+.1f}",
        f"{tail:+.1f}", f"{100 * tail_error_ratio(closed):.0f} %", valid(opened),
    ]  # fmt: skip
    return dict(zip(COLUMNS, cells, strict=True))


def valid(opened: Measured) -> str:
    """Return whether the open load was the one asked for and told the truth, or what was not."""
    rate, tail = achieved_per_second(opened), ttft_error_ms(opened)[1]
    bound = WITHIN * p95(true_ttft_ms(opened))
    for wrong, why in (
        (abs(rate / OPEN.amount - 1) > WITHIN, f"no: {rate:.1f} requests/s"),
        (opened.report["failed"], f"no: {opened.report['failed']} failed"),
        # Written so that an error which is not a number is out of bounds too.
        (not abs(tail) <= bound, f"no: TTFT off by {tail:.0f} ms"),
    ):
        if wrong:
            return why
    return "yes"


def achieved_per_second(run: Measured) -> float:
    """Return the rate at which requests arrived at the server."""
    arrivals = sorted(truth.arrival_ns for truth in run.truths)
    return (len(arrivals) - 1) / max(1, arrivals[-1] - arrivals[0]) * 1e9


def cheaper(rows: Sequence[Row], peers: Sequence[Client]) -> Iterator[Judged]:
    """Return how much cheaper than the best valid peer this project's load is.

    One run may have met a machine that another did not, so the two are run in turns.
    """
    others = list(zip(rows[1:], peers, strict=True))
    for mode, load in (("closed", CLOSED), ("open", OPEN)):
        column = f"us/token {mode}"
        valid = [(float(row[column]), peer) for row, peer in others if row["valid"] == "yes"]
        # With no valid peer nothing is shown, and what is not a number is not met.
        ratio, name = float("nan"), "none is valid"
        if valid:
            best = min(valid, key=lambda one: one[0])[1]
            ratio, name = statistics.median(in_turns(best, load)), best.name
        yield Judged(
            what=f"{column}: times cheaper than the best valid peer, median of {TURNS}",
            measured=ratio,
            limit=3,
            at_least=True,
            note=name,
        )


def in_turns(peer: Client, load: Load) -> Iterator[float]:
    """Run both in turns, and return by how much the peer costs more each time."""
    for _ in range(TURNS):
        costs = []
        for client in (OWN, peer):
            with rig() as bench:
                start_up = bench.run(client.command, ONE)
                costs.append(per_token_us(bench.run(client.command, load), start_up.cpu_seconds))
        own, other = costs
        print(f"{load.mode}: {own:.1f} us beside {peer.name} {other:.1f} us", flush=True)
        yield other / own
