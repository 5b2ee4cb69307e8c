"""What the scripted engine did to each request, against what the instrument recorded of it."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from hotfire.measure.history import Deviation, FailureClass, Request
from hotfire.traffic.workload.plan import NANO, LoadPlan, arrivals_of
from hotfire.traffic.workload.request import Requests

# What each misbehaviour is to the user; None: nothing, the answer is complete.
CLASSES: Mapping[str, FailureClass | None] = {
    **dict.fromkeys(
        ("ok", "slow", "leak", "wrong_model", "no_usage", "no_role", "reasoning", "multi_token"),
        None,
    ),
    **dict.fromkeys(
        ("comments", "unframed", "stall", "crlf", "no_space", "event_lines", "dribble"), None
    ),
    **dict.fromkeys(
        ("split_character", "half_character", "interim", "extensions", "trailers", "length"), None
    ),
    **dict.fromkeys(("http10", "pipelined"), None),
    **dict.fromkeys(("usage_above", "usage_below", "end_token", "held_back"), None),
    **dict.fromkeys(("abort", "other_reason"), FailureClass.ABORTED),
    **dict.fromkeys(
        ("invalid_json", "no_output", "no_finish_reason", "control_character", "gzip", "redirect"),
        FailureClass.MALFORMED,
    ),
    **dict.fromkeys(("html", "long_line"), FailureClass.MALFORMED),
    **dict.fromkeys(
        ("hang", "hang_chunk", "hang_event", "hang_before_done", "hang_after_done"),
        FailureClass.STALL_TIMEOUT,
    ),
    **dict.fromkeys(("fin", "cut_headers"), FailureClass.FIN_MIDSTREAM),
    **dict.fromkeys(("mute", "hang_headers"), FailureClass.HEADER_TIMEOUT),
    "refuse": FailureClass.HTTP_503,
    "too_many": FailureClass.HTTP_429,
    "internal_error": FailureClass.HTTP_5XX,
    "no_first_token": FailureClass.TTFT_TIMEOUT,
    "sse_error": FailureClass.SSE_ERROR,
    "truncate": FailureClass.TRUNCATED_NO_DONE,
    "rst": FailureClass.RESET_MIDSTREAM,
    "endless": FailureClass.DEADLINE,
}
# Answers whose tokens the engine writes and a client rightly does not count, or not all of them:
# an encoding nobody asked for, JSON that is none, an event without end, bytes that a reset takes
# out of the kernel.
UNSEEN = frozenset({"gzip", "control_character", "long_line", "rst", "endless"})
CUT_SHORT = frozenset({"gzip", "long_line"})
"""Answers whose end a client need not wait for."""
USAGE_LIES = frozenset({"usage_above", "usage_below"})
DEVIATIONS = {
    "wrong_model": [Deviation.OTHER_MODEL],
    "usage_above": [Deviation.USAGE_ABOVE_LIMIT],
    "usage_below": [Deviation.USAGE_BELOW_STREAM],
}
EARLY_NS = 500_000
"""How far two stamps of one moment may be apart on clocks of one machine."""
TIMER_NS = 1_000_000
"""Timers fire early by rounding."""
QUEUE_NS = 100_000_000
"""How long a request may wait in an engine that reads one after the other."""
SWEEP_NS = 100_000_000
"""How long after a limit a client may take to see that it has passed."""
STATUSES = {"refuse": 503, "too_many": 429, "internal_error": 500, "redirect": 302}
HEADLESS = frozenset({"mute", "hang_headers", "cut_headers"})

Field = tuple[str, object, object]
EngineRecord = Mapping[str, Any]


def disagreements(
    plan: LoadPlan,
    rows: list[Request],
    records: list[dict[str, Any]],
    *,
    late_ns: int,
    stall_seconds: float,
) -> Iterator[str]:
    """Return every field in which a row contradicts the record of its request.

    ``late_ns`` is how long after the engine's stamp a client's may lie; ``stall_seconds`` is the
    engine's pause where it stalls.
    """
    requests, offsets = Requests(plan), [arrival.offset_ns for arrival in arrivals_of(plan)]
    truths = {record["prompt"]: record for record in records}
    if sorted(row.seq for row in rows) != list(range(len(offsets))):
        yield f"{len(rows)} rows are not one for each of {len(offsets)} arrivals"
    for row in rows:
        truth = truths.pop(requests.texts.prompt(row.prompt_id)[:80], None)
        if truth is None:
            yield f"request {row.seq}: the engine knows nothing of it"
            continue
        since_start = row.sched_ns - rows[0].sched_ns
        for name, seen, true in (
            ("sched_ns", since_start, offsets[row.seq] - offsets[rows[0].seq]),
            *facts(row, truth),
            *connection(row, truth, late_ns),
            *times(row, truth, late_ns),
            *end(plan, row, truth, late_ns),
            *(stall(plan, row, truth, stall_seconds) if truth["misbehaviour"] == "stall" else ()),
        ):
            if seen != true:
                fate = truth["misbehaviour"]
                yield f"request {row.seq} ({fate}): {name} is {seen}, in truth {true}; {row.detail}"
    yield from (f"the engine got a request without a row: {prompt}" for prompt in truths)


def facts(row: Request, truth: EngineRecord) -> Iterator[Field]:
    """Return name, measured and true value of everything that is no time."""
    fate = truth["misbehaviour"]
    chunks = len(row.gaps_us) + (row.first_ns is not None)
    yield "error_class", row.error_class, CLASSES[fate]
    yield "detail", bool(row.detail), CLASSES[fate] is not None
    yield "prompt_id", row.prompt_id, row.seq
    yield "phase, tenant, worker", (row.phase, row.tenant, row.worker), ("steady", "", 0)
    yield "censored", row.censored, False
    headers = fate not in HEADLESS
    yield "headers", row.headers_ns is not None, headers
    yield "served_by", row.served_by, "engine-0" if headers else None
    yield "status", row.status, STATUSES.get(fate, 200) if headers else None
    if fate in UNSEEN:
        yield "more chunks than written", chunks > truth["chunks"], False
        return
    yield "chunks", chunks, truth["chunks"]
    yield "n_out", row.n_out, truth["usage"]
    yield "n_in", row.n_in, truth["n_in"] if truth["usage"] is not None else None
    yield "n_first", row.n_first, truth["usage"] if came_together(row) else 1
    yield "token_source", row.token_source, source(truth)
    yield "deviation", list(row.deviations), DEVIATIONS.get(fate, [])
    yield "finish_reason", row.finish_reason, truth["finish_reason"]


def came_together(row: Request) -> bool:
    """Return whether no time between tokens was seen: one chunk, or 250 us a chunk at most.

    An engine whose machine stood still writes all that is due by then at once.
    """
    if row.n_out is None or row.first_ns is None or row.last_ns is None:
        return False
    return row.last_ns - row.first_ns <= 250_000 * len(row.gaps_us)


def source(truth: EngineRecord) -> str:
    """Return where the number of tokens is from."""
    if truth["usage"] is None:
        return "chunks"
    return "contradicted" if truth["misbehaviour"] in USAGE_LIES else "usage"


def connection(row: Request, truth: EngineRecord, late_ns: int) -> Iterator[Field]:
    """Return what is told of the connection, against the number the request had on it."""
    yield "conn_reused", row.conn_reused, truth["nth_on_connection"] > 1
    yield "connect_ns is there", row.connect_ns is not None, not row.conn_reused
    if row.connect_ns is None or row.send_ns is None:
        return
    spent = row.send_ns - row.sched_ns + TIMER_NS
    yield "connect_ns within the time to the sending", 0 < row.connect_ns <= spent, True
    begun = row.send_ns - row.connect_ns
    yield "connected to before accepted", begun <= truth["accepted_ns"] + late_ns, True


def times(row: Request, truth: EngineRecord, late_ns: int) -> Iterator[Field]:
    """Return whether each stamp lies at most that long after what it is the stamp of."""
    sent = row.send_ns or 0
    arrival, queued_ns = truth["arrival_ns"], late_ns + QUEUE_NS
    # How long after it was due is the load's own account, and a gate's matter.
    yield "sent when due", row.sched_ns - TIMER_NS <= sent, True
    yield "sent before it arrived", arrival - queued_ns <= sent <= arrival + EARLY_NS, True
    stamps = (row.send_ns, row.headers_ns, row.first_ns, row.last_ns, row.end_ns)
    known = [stamp for stamp in stamps if stamp is not None]
    yield "stamps in order", known, sorted(known)
    if row.headers_ns is not None:
        yield stamp("headers_ns", row.headers_ns, truth["headers_ns"], late_ns)
    if truth["misbehaviour"] in UNSEEN:
        return
    for name in ("first_ns", "first_output_ns", "last_ns"):
        yield stamp(name, getattr(row, name), truth[name], late_ns)
    yield "chunks out of time", list(out_of_time(row, truth, late_ns)), []
    whole = ((row.last_ns or 0) - (row.first_ns or 0)) / 1000
    yield "gaps", abs(sum(row.gaps_us) - whole) <= len(row.gaps_us) + 1, True


def stamp(name: str, seen: int | None, true_ns: int, late_ns: int) -> Field:
    """Return whether a stamp lies in time after the engine's; 0 is the engine's word for never."""
    if not true_ns or seen is None:
        return name, seen, true_ns or None
    after = seen - true_ns
    return f"{name} {after / 1e6:+.3f} ms after, in time", -EARLY_NS <= after <= late_ns, True


def out_of_time(row: Request, truth: EngineRecord, late_ns: int) -> Iterator[int]:
    """Return the places of chunks that were seen before they were written, or late."""
    writes = truth["writes_us"]
    at_us = ((row.first_ns or 0) - truth["arrival_ns"]) / 1000
    seen = accumulate(row.gaps_us, initial=at_us)
    for place, (at, began, ended) in enumerate(zip(seen, writes[::2], writes[1::2], strict=False)):
        # Each gap was rounded to a microsecond.
        slack = EARLY_NS / 1000 + place
        if not began - slack <= at <= ended + slack + late_ns / 1000:
            yield place


def stall(
    plan: LoadPlan, row: Request, truth: EngineRecord, stall_seconds: float
) -> Iterator[Field]:
    """Return whether the pause is seen, in its place and in its whole length."""
    began, ended = truth["writes_us"][::2], truth["writes_us"][1::2]
    pauses = [later - earlier for earlier, later in zip(ended, began[1:], strict=False)]
    gaps = list(row.gaps_us)
    if not gaps or not pauses:
        yield "chunks around the stall", bool(gaps), bool(pauses)
        return
    yield "place of the stall", gaps.index(max(gaps)), pauses.index(max(pauses))
    # The kernel tells the reactor when bytes came; the other client takes its own late time.
    if plan.client == "reactor":
        yield "whole stall seen", max(gaps) >= stall_seconds * 1e6 - EARLY_NS / 1000, True


def end(plan: LoadPlan, row: Request, truth: EngineRecord, late_ns: int) -> Iterator[Field]:
    """Return whether the end was seen when it came, or the client left when its limit passed."""
    if row.end_ns is None:
        yield "end_ns", None, truth["end_ns"]
        return
    after = row.end_ns - truth["end_ns"]
    limit_ns = given_up_ns(plan, row)
    if limit_ns is not None:
        over = row.end_ns - limit_ns
        yield (
            f"given up {over / 1e6:+.1f} ms after the limit",
            0 <= over <= SWEEP_NS + late_ns,
            True,
        )
        yield f"left {after / 1e6:+.1f} ms after that was noticed", after <= EARLY_NS, True
    elif truth["misbehaviour"] in CUT_SHORT:
        begun = row.end_ns - truth["headers_ns"]
        yield "ended within the answer", begun >= -EARLY_NS and after <= late_ns, True
    else:
        yield stamp("end_ns", row.end_ns, truth["end_ns"], late_ns)


def given_up_ns(plan: LoadPlan, row: Request) -> int | None:
    """Return when the limit passed that the row's class is about; None: it is about none."""
    if row.error_class is FailureClass.STALL_TIMEOUT:
        return (row.last_ns or 0) + round(plan.stall_seconds * NANO)
    if row.error_class is FailureClass.DEADLINE:
        return row.sched_ns + round(plan.deadline_seconds * NANO)
    if row.error_class in (FailureClass.HEADER_TIMEOUT, FailureClass.TTFT_TIMEOUT):
        return row.sched_ns + round((plan.ttft_seconds or 0) * NANO)
    return None
