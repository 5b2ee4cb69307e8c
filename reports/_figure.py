"""What a load looked like over time: one figure per history, its lanes on one time axis."""

from collections.abc import Iterable, Iterator, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hotfire.measure.bands import Bands
from hotfire.measure.history import Request
from hotfire.rundir import Event
from reports._lanes import (
    GREEN,
    GREY,
    LETTER_PIXELS,
    NARROW_PIXELS,
    RED,
    Lane,
    Point,
    lanes_of,
    seconds_since,
)

_GAP_PIXELS, _MARK_PIXELS, _FOOT_PIXELS, _LEFT_PIXELS = 34, 15, 46, 58


def window(events: Iterable[Event]) -> tuple[int, int] | None:
    """Return the fault window, proven start to proven end in nanoseconds, if both were seen."""
    stamps = {event.what: event.at_ns for event in events if event.kind == "fault"}
    if "took-effect" not in stamps or "verified-healed" not in stamps:
        return None
    return stamps["took-effect"], stamps["verified-healed"]


def figure(
    requests: Sequence[Request],
    events: Sequence[Event],
    *,
    bands: Bands | None = None,
    recovered_ns: int | None = None,
) -> go.Figure:
    """Return arrivals, errors, TTFT, longest gaps and ready endpoints over seconds.

    Second 0 is the fault's proven start, or the first arrival where there was no fault. A request
    stands at its scheduled arrival, except that a completion stands where it ended. ``bands`` is
    what counted as before; ``recovered_ns`` is when it was so again.
    """
    fault = window(events)
    first_ns = min(request.sched_ns for request in requests)
    last_ns = max(max(request.end_ns or 0, request.sched_ns) for request in requests)
    origin_ns = fault[0] if fault else first_ns
    span = (seconds_since(first_ns, origin_ns), seconds_since(last_ns, origin_ns))
    lanes = lanes_of(requests, events, origin_ns=origin_ns, span=span, bands=bands)
    marks = list(_marks(events, origin_ns, recovered_ns))
    drawn = _strips(lanes, marks, span)
    _shade(drawn, marks)
    origin = "the fault took effect" if fault else "the first arrival"
    drawn.update_xaxes(title_text=f"seconds since {origin}", row=len(lanes), col=1)
    return drawn


def _strips(lanes: Sequence[Lane], marks: Sequence[tuple[float, str]], span: Point) -> go.Figure:
    rows = _rows_of_labels(marks, span)
    places, inner = _places(lanes)
    above = 20 + lanes[0].room
    top = above + 10 + _MARK_PIXELS * (max(rows, default=-1) + 1)
    drawn = make_subplots(rows=len(lanes), shared_xaxes=True)
    for row, (lane, place) in enumerate(zip(lanes, places, strict=True), start=1):
        drawn.add_traces(lane.traces, rows=row, cols=1)
        domain = [1 - (place + lane.pixels) / inner, 1 - place / inner]
        drawn.update_yaxes(**lane.axis, domain=domain, row=row, col=1)
        _entitle(drawn, lane, row)
    for (at, word), place in zip(marks, rows, strict=True):
        drawn.add_annotation(
            x=at, xref="x", y=1, yref="paper", yshift=above + _MARK_PIXELS * place,
            text=f"<span style='color:{_colour(word)}'>{word}</span>", font={"size": 11},
            showarrow=False, xanchor="left", yanchor="bottom", xshift=-3,
        )  # fmt: skip
    margin = {"l": _LEFT_PIXELS, "r": 12, "t": top, "b": _FOOT_PIXELS}
    drawn.update_layout(
        height=inner + top + _FOOT_PIXELS,
        margin=margin,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "size": 12, "family": "system-ui, sans-serif"},
        barmode="stack",
        bargap=0,
        hovermode="closest",
        showlegend=False,
        dragmode="zoom",
    )
    pad = 0.01 * (span[1] - span[0])
    drawn.update_xaxes(
        range=[span[0] - pad, span[1] + pad],
        gridcolor="rgba(128,128,128,.18)",
        zeroline=False,
        title_standoff=6,
    )
    drawn.update_yaxes(gridcolor="rgba(128,128,128,.18)", zeroline=False, fixedrange=True)
    return drawn


def _places(lanes: Sequence[Lane]) -> tuple[list[int], int]:
    """Return how many pixels below the first lane's top each begins, and where the last ends."""
    places, end = [0], lanes[0].pixels
    for lane in lanes[1:]:
        places.append(end + _GAP_PIXELS + lane.room)
        end = places[-1] + lane.pixels
    return places, end


def _entitle(drawn: go.Figure, lane: Lane, row: int) -> None:
    """Write title and key of a lane above it, where no line of the figure runs."""
    domain = {"xref": "x domain", "yref": "y domain", "row": row, "col": 1, "showarrow": False}
    drawn.add_annotation(
        **domain, x=0, y=1, xanchor="left", yanchor="bottom", yshift=2,
        text="<br>".join(lane.heading), align="left", font={"size": 12},
    )  # fmt: skip
    if lane.empty:
        drawn.add_annotation(**domain, x=0.5, y=0.5, text=lane.empty, font={"size": 12})
    if lane.limit is not None:
        value, _ = lane.limit
        line = {"color": GREY, "width": 1, "dash": "dash"}
        drawn.add_hline(y=value, row=row, col=1, line=line, opacity=0.9)


def _marks(
    events: Iterable[Event], origin_ns: int, recovered_ns: int | None
) -> Iterator[tuple[float, str]]:
    """Yield what is marked across all lanes, in the order of time."""
    shown = {"injected": "injected", "took-effect": "took effect", "verified-healed": "over"}
    stamps = {shown[e.what]: e.at_ns for e in events if e.kind == "fault" and e.what in shown}
    if recovered_ns is not None:
        stamps["served as before"] = recovered_ns
    for word, stamp in sorted(stamps.items(), key=lambda item: item[1]):
        yield seconds_since(stamp, origin_ns), word


def _rows_of_labels(marks: Sequence[tuple[float, str]], span: Point) -> list[int]:
    """Return a row for each label so that none covers another; row 0 is the lowest."""
    per_second = NARROW_PIXELS / max(span[1] - span[0], 1e-9)
    rows: list[int] = []
    # A label must also clear the lines of the later ones, so the last stands lowest.
    starts: list[float] = []
    for at, word in reversed(marks):
        end = at * per_second + len(word) * LETTER_PIXELS + 6
        row = 0
        while row < len(starts) and end > starts[row]:
            row += 1
        starts[row : row + 1] = [at * per_second]
        rows.append(row)
    return rows[::-1]


def _shade(drawn: go.Figure, marks: Sequence[tuple[float, str]]) -> None:
    stamps = {word: at for at, word in marks}
    if "took effect" in stamps and "over" in stamps:
        drawn.add_vrect(
            x0=stamps["took effect"], x1=stamps["over"], fillcolor=RED, opacity=0.13,
            line_width=0, row="all", col=1,
        )  # fmt: skip
    for word, at in stamps.items():
        dash = "solid" if word == "injected" else "dot"
        line = {"color": _colour(word), "width": 1.2, "dash": dash}
        drawn.add_vline(x=at, line=line, row="all", col=1)


def _colour(mark: str) -> str:
    return GREEN if mark == "served as before" else RED
