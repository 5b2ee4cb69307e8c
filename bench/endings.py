"""Streams that end wrongly, and one that stands still: what a client tells of them."""

from collections.abc import Iterator, Sequence

from bench.clients import OWN, Client, said_ttft_ms, tail_error_ratio, true_ttft_ms
from bench.judged import Judged, table
from bench.rig import Load, p95, rig

TEN = Load(mode="closed", amount=10, tokens=16, seconds=0.1)
"""Over before the first answer ends, so that none of the ten asks twice."""
CLASSES = {
    "ok": "None",
    "no_done": "truncated_no_done",
    "truncate": "truncated_no_done",
    "sse_error": "sse_error",
    "fin": "fin_midstream",
    "rst": "reset_midstream",
    "hang": "stall_timeout",
}
"""What each ending of the truth server is to this project; None: a whole answer."""
SHOWN = tuple(name for name in CLASSES if name != "hang")
"""What peers are asked as well; most of them would wait for minutes in silence."""
STALL_AT, STALL_SECONDS = 4.0, 5.0
STALL_LOAD = Load(mode="open", amount=20, tokens=16, seconds=20)


def endings(peers: Sequence[Client]) -> Iterator[Judged]:
    """Judge ten answers of each ending; print what peers make of them."""
    for ending, expected in CLASSES.items():
        _, classes = counted(OWN, ending)
        told = ", ".join(f"{count} {name}" for name, count in classes.items())
        yield Judged(
            what=f"10 answers that end by {ending}: told as such",
            measured=classes.get(expected, 0) if sum(classes.values()) == 10 else float("nan"),
            limit=10,
            at_least=True,
            note=told,
        )
    rows = [[peer.name, *(counted(peer, ending)[0] for ending in SHOWN)] for peer in peers]
    if rows:
        print(f"\n{table(('counted as failed', *SHOWN), rows)}\n", flush=True)


def counted(client: Client, ending: str) -> tuple[str, dict[str, int]]:
    """Return how many answers that end so the client counts as failed, and its classes."""
    with rig(ttft_seconds=0.15, tpot_seconds=0.002, ending=ending) as bench:
        measured = bench.run(client.command, TEN)
    failed = min(measured.report["failed"], len(measured.truths))
    return f"{failed}/{len(measured.truths)}", measured.report.get("classes", {})


def stall(peers: Sequence[Client]) -> Iterator[Judged]:
    """Judge the p95 TTFT of a load whose server stands still for 5 s."""
    rows = []
    for client in (OWN, *peers):
        with rig() as bench:
            run = bench.run(client.command, STALL_LOAD, freeze=(STALL_AT, STALL_SECONDS))
        told = p95(said_ttft_ms(run)) / 1000
        rows.append([client.name, f"{told:.2f}"])
        if client is OWN:
            yield Judged(
                what="p95 TTFT off the truth, 5 s stall at 20 requests/s",
                measured=100 * tail_error_ratio(run),
                limit=2,
                unit="%",
                note=f"{told:.2f} s",
            )
            rows.append(["truth, by the schedule", f"{p95(true_ttft_ms(run)) / 1000:.2f}"])
    print(f"\n{table(('client', 'p95 TTFT s of the stall'), rows)}\n", flush=True)
