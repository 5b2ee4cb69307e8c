"""What the load generator costs, and how near its figures are to the truth, beside its peers.

``python -m bench.instrument [--peers guidellm,...] [--quick]`` from the project's root, on a
machine of two cores or more with nothing else to do. A truth server owns one core, each client's
whole process tree another. Takes about nine minutes.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.installed import installed
from bench.misbehaviours import agreement
from bench.rig import HERE, Load, Measured, mean, p95, rig

STALL_AT, STALL_SECONDS, STALL_LOAD = 4.0, 5.0, Load(mode="open", amount=20, tokens=16, seconds=20)
OPEN_5K = Load(mode="open", amount=39, seconds=8)
CLOSED_5K = Load(mode="closed", amount=100, seconds=8)
ENDINGS: Final = Load(mode="closed", amount=10, tokens=16, seconds=0.1)
ONE: Final = Load(mode="closed", amount=1, tokens=2, seconds=0.1)
WITHIN: Final = 0.1
"""How far a rate or a p95 may lie from what was asked for or is true before it does not count."""
COLUMNS: Final = (
    "client", "us/token closed", "us/token open", "start-up CPU s", "TTFT error mean ms",
    "TTFT error p95 ms", "valid", "truncated seen", "SSE error seen", "stall p95 s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Client:
    """One client by its name and the command that runs it."""

    name: str
    command: tuple[str, ...]


def clients(wanted: Sequence[str]) -> list[Client]:
    """Return this project's load, and every peer there is."""
    peers = HERE / "peers"
    python = (sys.executable,)
    locust = (*python, str(peers / "locust_peer.py"))
    found = [
        Client("hotfire", (*python, str(peers / "hotfire_load.py"))),
        Client("Locust User, geventhttpclient", (*locust, "readline")),
        Client("Locust FastHttpUser", (*locust, "fast")),
        Client("httpx, asyncio", (*python, str(peers / "httpx_peer.py"))),
    ]  # fmt: skip
    parts = Path.home() / ".cache" / "hotfire" / "parts"
    sites, models = sorted(parts.glob("engine-*/site-packages")), sorted(parts.glob("model-*"))
    if sites and models:
        inside = ("env", f"PYTHONPATH={sites[-1]}", "VLLM_LOGGING_LEVEL=ERROR", *python)
        found.append(
            Client("vllm bench serve", (*inside, str(peers / "vllm_peer.py"), str(models[-1])))
        )
    for name in wanted:
        if not models:
            raise SystemExit(f"{name} needs the lab's tokenizer: run `hotfire lab build` first")
        found.append(Client(name, (*installed(name), str(models[-1]))))
    return found


def per_token_us(measured: Measured, start_up: Measured) -> float:
    """Return the CPU of one token, the process's start not counted.

    A client whose start costs more than its load tells what the load alone cost.
    """
    without_start = measured.cpu_seconds - start_up.cpu_seconds
    return measured.report.get("cpu_seconds", without_start) / measured.tokens * 1e6


def true_ttft_ms(measured: Measured) -> list[float]:
    """Return the true TTFT of each request: from when it was due, or else from its arrival."""
    due = measured.report.get("sched_ns", {})
    return [(t.first_ns - due.get(t.prompt, t.arrival_ns)) / 1e6 for t in measured.truths]


def ttft_error_ms(measured: Measured) -> tuple[float, float]:
    """Return how far reported mean and p95 lie above the true ones."""
    said, true = measured.report["ttft_ms"] or [float("nan")], true_ttft_ms(measured)
    return mean(said) - mean(true), p95(said) - p95(true)


def achieved_per_second(measured: Measured) -> float:
    """Return the rate at which requests arrived at the server."""
    arrivals = sorted(truth.arrival_ns for truth in measured.truths)
    return (len(arrivals) - 1) / max(1, arrivals[-1] - arrivals[0]) * 1e9


def valid(opened: Measured) -> str:
    """Return whether the open load was the one asked for and told the truth, or what was not."""
    rate, tail = achieved_per_second(opened), ttft_error_ms(opened)[1]
    bound = WITHIN * p95(true_ttft_ms(opened))
    for wrong, why in (
        (abs(rate / OPEN_5K.amount - 1) > WITHIN, f"no: {rate:.1f} requests/s"),
        (opened.report["failed"], f"no: {opened.report['failed']} failed"),
        # Written so that an error which is not a number is out of bounds too.
        (not abs(tail) <= bound, f"no: TTFT off by {tail:.0f} ms"),
    ):
        if wrong:
            return why
    return "yes"


def verdict(rows: list[list[str]]) -> str:
    """Return how much cheaper than the best valid peer this project's load is."""
    own, *peers = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    lines = []
    for column in ("us/token closed", "us/token open"):
        costs = [(float(peer[column]), peer["client"]) for peer in peers if peer["valid"] == "yes"]
        best, name = min(costs, default=(float("nan"), "none is valid"))
        lines.append(
            f"{column}: {best / float(own[column]):.1f} times cheaper than the best peer ({name})"
        )
    return "\n".join(lines)


def seen(client: Client, ending: str) -> str:
    """Return how many of the answers that end wrongly the client counts as failed."""
    with rig(ttft_seconds=0.02, tpot_seconds=0.002, ending=ending) as bench:
        measured = bench.run(client.command, ENDINGS)
    return f"{min(measured.report['failed'], len(measured.truths))}/{len(measured.truths)}"


def stalled(client: Client) -> str:
    """Return the p95 TTFT the client reports of a load whose server stands still for 5 s."""
    with rig() as bench:
        measured = bench.run(client.command, STALL_LOAD, freeze=(STALL_AT, STALL_SECONDS))
    told = p95(measured.report["ttft_ms"] or [float("nan")]) / 1000
    if "sched_ns" not in measured.report:
        return f"{told:.2f}"
    true = p95(true_ttft_ms(measured)) / 1000
    return f"{told:.2f} (truth {true:.2f})"


def line(client: Client) -> list[str]:
    """Return the client's row of the table."""
    with rig() as bench:
        start_up = bench.run(client.command, ONE)
        closed = bench.run(client.command, CLOSED_5K)
        opened = bench.run(client.command, OPEN_5K)
    own = start_up.report.get("load_cpu_seconds", start_up.cpu_seconds)
    average, tail = ttft_error_ms(opened)
    costs = [per_token_us(measured, start_up) for measured in (closed, opened)]
    return [
        client.name, *(f"{cost:.1f}" for cost in costs), f"{own:.2f}", f"{average:+.1f}",
        f"{tail:+.1f}", valid(opened), seen(client, "truncate"), seen(client, "sse_error"),
        stalled(client),
    ]  # fmt: skip


def table(rows: list[list[str]]) -> str:
    """Return rows under the columns' names, aligned."""
    widths = [
        max(len(row[place]) for row in [list(COLUMNS), *rows]) for place in range(len(COLUMNS))
    ]
    lines = [list(COLUMNS), ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) + " |"
        for row in lines
    )


def rates(client: Client) -> None:
    """Print cost and truth of this project's load from 5,000 to 30,000 tokens a second."""
    for thousands in (5, 10, 20, 30):
        for mode, amount in (("open", thousands * 1000 / 128), ("closed", thousands * 20)):
            with rig() as bench:
                start_up = bench.run(client.command, ONE)
                measured = bench.run(client.command, Load(mode=mode, amount=amount, seconds=6))
            said, true = measured.report, p95(true_ttft_ms(measured))
            tpot = p95(said["tpot_ms"]) - p95([truth.tpot_ms for truth in measured.truths])
            cost = per_token_us(measured, start_up)
            print(
                f"{thousands:>3},000 tokens/s {mode:<6} {cost:5.1f} us a token; p95 TTFT"
                f" {p95(said['ttft_ms']) - true:+.2f} ms of {true:.0f}, p95 TPOT {tpot:+.4f} ms"
                f" from truth; {said['failed']} failed; {measured.tokens} tokens,"
                f" peak memory {measured.peak_bytes >> 20} MiB",
                flush=True,
            )


def main() -> int:
    """Print the figures one by one, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="", help="peers to install on demand: guidellm")
    parser.add_argument("--quick", action="store_true", help="this project's rates only")
    parser.add_argument("--no-rates", action="store_true", help="the table only")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("the bench needs two cores: one for the server, one for the client")
    found = clients([name for name in options.peers.split(",") if name])
    if not options.no_rates:
        rates(found[0])
    if options.quick:
        return 0
    rows = []
    for client in found:
        rows.append(line(client))
        print("; ".join(f"{a} {b}" for a, b in zip(COLUMNS, rows[-1], strict=True)), flush=True)
    print(f"\n{table(rows)}\n\n{verdict(rows)}\n", flush=True)
    print(agreement(requests=10_000))
    return 0


if __name__ == "__main__":
    sys.exit(main())
