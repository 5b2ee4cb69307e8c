"""What the scripted engine did to each request, against what the instrument recorded of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from hotfire.history import FailureClass, Request
from hotfire.traffic.plan import LoadPlan
from hotfire.traffic.request import Requests

# What each misbehaviour is to the user; None: nothing, the answer is complete.
CLASSES: Mapping[str, FailureClass | None] = {
    **dict.fromkeys(
        ("ok", "slow", "wrong_model", "no_usage", "no_role", "reasoning", "multi_token"), None
    ),
    **dict.fromkeys(
        ("comments", "unframed", "stall", "crlf", "no_space", "event_lines", "dribble"), None
    ),
    **dict.fromkeys(
        ("split_character", "half_character", "interim", "extensions", "trailers", "length"), None
    ),
    **dict.fromkeys(("http10", "pipelined"), None),
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
EARLY_NS = 500_000
"""How far two stamps of one moment may be apart on clocks of one machine."""


def disagreements(
    plan: LoadPlan, rows: list[Request], records: list[dict[str, Any]], *, late_ns: int
) -> Iterator[str]:
    """Return every field in which a row contradicts the record of its request."""
    requests = Requests(plan)
    truths = {record["prompt"]: record for record in records}
    for row in rows:
        truth = truths.pop(requests.texts.prompt(row.prompt_id)[:80], None)
        if truth is None:
            yield f"request {row.seq}: the engine knows nothing of it"
            continue
        for name, seen, true in (*facts(row, truth), *times(row, truth, late_ns)):
            if seen != true:
                fate = truth["misbehaviour"]
                yield f"request {row.seq} ({fate}): {name} is {seen}, in truth {true}; {row.detail}"
    yield from (f"the engine got a request without a row: {prompt}" for prompt in truths)


def facts(row: Request, truth: dict[str, Any]) -> Iterator[tuple[str, object, object]]:
    """Return name, measured and true value of everything that is no time."""
    fate = truth["misbehaviour"]
    chunks = len(row.gaps_us) + (row.first_ns is not None)
    yield "error_class", row.error_class, CLASSES[fate]
    if fate in UNSEEN:
        yield "more chunks than written", chunks > truth["chunks"], False
        return
    yield "chunks", chunks, truth["chunks"]
    yield "n_out", row.n_out, truth["usage"]
    yield "n_in", row.n_in, truth["n_in"] if truth["usage"] is not None else None
    yield "n_first", row.n_first, 1
    yield "token_source", row.token_source, "chunks" if truth["usage"] is None else "usage"
    yield "finish_reason", row.finish_reason, truth["finish_reason"]
    yield "reasoning first", row.first_ns != row.first_output_ns, fate == "reasoning"
    headers = fate not in ("mute", "hang_headers", "cut_headers")
    yield "headers", row.headers_ns is not None, headers
    yield "served_by", row.served_by, "engine-0" if headers else None
    yield "status", row.status, STATUSES.get(fate, 200) if headers else None


STATUSES = {"refuse": 503, "too_many": 429, "internal_error": 500, "redirect": 302}


def times(
    row: Request, truth: dict[str, Any], late_ns: int
) -> Iterator[tuple[str, object, object]]:
    """Return whether each stamp lies at most that long after what it is the stamp of."""
    yield "sent before it arrived", (row.send_ns or 0) <= truth["arrival_ns"] + EARLY_NS, True
    if truth["misbehaviour"] in UNSEEN or row.first_ns is None or row.last_ns is None:
        return
    for name in ("first_ns", "last_ns"):
        late = getattr(row, name) - truth[name]
        yield f"{name} in time", -EARLY_NS <= late <= late_ns, True
    whole = (row.last_ns - row.first_ns) / 1000
    yield "gaps", abs(sum(row.gaps_us) - whole) <= len(row.gaps_us) + 1, True
