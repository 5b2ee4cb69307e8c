"""What holds of every fault, whatever it may cost: a pure function of plan and record."""

from collections import Counter
from collections.abc import Iterator, Sequence

from hotfire.chaos.plan import Plan
from hotfire.experiment.facts import Record
from hotfire.measure.history import Request


def broken(record: Record, plan: Plan) -> Iterator[str]:
    """Yield each invariant that does not hold, in words."""
    start_ns = record.injected_ns
    if start_ns is None:
        return
    before = [row for row in record.requests if row.sched_ns < start_ns]
    later = [row for row in record.requests if row.sched_ns >= start_ns or not row.complete]
    if spared := _lost_elsewhere(later, plan):
        told = ", ".join(f"{count} of {name}" for name, count in sorted(spared.items()))
        yield f"streams were cut that no broken part carried: {told}"
    if short := _cut_unseen(before, later):
        yield f"{len(short)} answers ended well and lack tokens, such as request {short[0].seq}"


def _lost_elsewhere(rows: Sequence[Request], plan: Plan) -> Counter[str]:
    """Return the streams cut at engines that nobody hit, by engine.

    Where something that all streams pass is hit, such as a proxy, nobody can be told apart.
    """
    hit = [one for one in plan.targets if one.kind == "pod" and one.uid not in plan.before]
    spared = {one.name for one in plan.bystanders}
    if hit:
        return Counter()
    return Counter(row.served_by for row in rows if row.stream_lost and row.served_by in spared)


def _cut_unseen(before: Sequence[Request], later: Sequence[Request]) -> list[Request]:
    """Return answers that look whole and are shorter than any was before anything was broken.

    Only where all were of one length, as under a load that asks for exactly so many tokens.
    """
    lengths = {row.n_out for row in before if row.complete and row.usage_believed}
    if len(lengths) != 1:
        return []
    [length] = lengths
    whole = [row for row in later if row.complete and row.n_out is not None]
    return [row for row in whole if row.n_out != length or not row.usage_believed]
