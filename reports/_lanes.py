"""What a load looked like over time: one figure per history, its lanes on one time axis."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hotfire.history import Request
from hotfire.rundir import Event
from hotfire.slo import longest_stall_seconds, percentile, ttft_seconds

_BIN_SECONDS = 10
_POINTS = 4000
_BLUE, _GREEN, _RED, _GREY = "#4c8dff", "#2da44e", "#e5534b", "#8b949e"
_CLASS_COLOURS = (_RED, "#f0883e", "#d4a72c", "#a371f7", "#db61a2", "#768390")

Point = tuple[float, float]


def window(events: Iterable[Event]) -> tuple[int, int] | None:
    """Return the fault window, proven start to proven end in nanoseconds, if both were seen."""
    stamps = {event.what: event.at_ns for event in events if event.kind == "fault"}
    if "took-effect" not in stamps or "verified-healed" not in stamps:
        return None
    return stamps["took-effect"], stamps["verified-healed"]


def figure(requests: Sequence[Request], events: Sequence[Event]) -> go.Figure:
    """Return arrivals, errors, TTFT, longest gaps and ready endpoints over seconds.

    Second 0 is the fault's proven start, or the first arrival where there was no fault. A request
    stands at its scheduled arrival, except that a completion stands where it ended.
    """
    fault = window(events)
    origin_ns = fault[0] if fault else min(request.sched_ns for request in requests)
    lanes = [
        ("requests per second", _throughput(requests, origin_ns)),
        ("errors per second", _errors(requests, origin_ns)),
        ("TTFT, seconds", _ttft(requests, origin_ns)),
        ("longest gap, seconds", _gaps(requests, origin_ns)),
    ]
    if ready := list(_ready(events, origin_ns)):
        lanes.append(("ready endpoints", ready))
    drawn = make_subplots(
        rows=len(lanes),
        shared_xaxes=True,
        vertical_spacing=0.035,
        subplot_titles=[t for t, _ in lanes],
    )
    for row, (_, traces) in enumerate(lanes, start=1):
        drawn.add_traces(traces, rows=row, cols=1)
    if fault:
        end = _seconds(fault[1], origin_ns)
        drawn.add_vrect(x0=0, x1=end, fillcolor=_RED, opacity=0.12, line_width=0, row="all", col=1)
    return _styled(drawn, len(lanes), "the fault took effect" if fault else "the first arrival")


def _styled(drawn: go.Figure, lanes: int, origin: str) -> go.Figure:
    drawn.update_layout(
        height=60 + 135 * lanes,
        margin={"l": 50, "r": 10, "t": 30, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        # Grey reads on a light and on a dark page, and on paper.
        font={"color": _GREY, "size": 12},
        barmode="stack",
        bargap=0,
        hovermode="closest",
        legend={"orientation": "h", "y": 1.04, "x": 1, "xanchor": "right", "yanchor": "bottom"},
    )
    drawn.update_annotations(x=0, xanchor="left", font={"size": 12, "color": _GREY})
    drawn.update_xaxes(gridcolor="rgba(128,128,128,.18)", zeroline=False)
    drawn.update_yaxes(gridcolor="rgba(128,128,128,.18)", zeroline=False, rangemode="tozero")
    drawn.update_xaxes(title_text=f"seconds since {origin}", row=lanes, col=1)
    return drawn


def _throughput(requests: Iterable[Request], origin_ns: int) -> list[go.Scatter]:
    rows = list(requests)
    arrivals = _per_second((r.sched_ns for r in rows), origin_ns)
    completes = _per_second((r.end_ns for r in rows if r.complete), origin_ns)
    return [
        _line("arrivals", _filled(arrivals), _GREY, shape="hvh"),
        _line("completes", _filled(completes), _GREEN, shape="hvh"),
    ]


def _errors(requests: Iterable[Request], origin_ns: int) -> list[go.Bar]:
    by_class: dict[str, list[int]] = {}
    for request in requests:
        if request.error_class is not None:
            by_class.setdefault(str(request.error_class), []).append(request.sched_ns)
    bars = []
    for number, (name, stamps) in enumerate(sorted(by_class.items())):
        seconds = sorted(_per_second(stamps, origin_ns).items())
        colour = _CLASS_COLOURS[number % len(_CLASS_COLOURS)]
        x, y = [second + 0.5 for second, _ in seconds], [count for _, count in seconds]
        bars.append(go.Bar(name=name, x=x, y=y, width=1, marker={"color": colour}))
    return bars or [go.Bar(name="errors", x=[], y=[], showlegend=False)]


def _ttft(requests: Iterable[Request], origin_ns: int) -> list[go.Scatter]:
    points = [
        (_seconds(request.sched_ns, origin_ns), ttft)
        for request in requests
        if (ttft := ttft_seconds(request)) is not None
    ]
    return [
        _dots("TTFT", points, _BLUE),
        _line(f"TTFT p95 of {_BIN_SECONDS} s", list(_p95(points)), _RED, shape="hv"),
    ]


def _gaps(requests: Iterable[Request], origin_ns: int) -> list[go.Scatter]:
    points = [
        (_seconds(request.sched_ns, origin_ns), gap)
        for request in requests
        if (gap := longest_stall_seconds(request)) is not None
    ]
    return [_dots("longest gap", points, "#a371f7")]


def _ready(events: Iterable[Event], origin_ns: int) -> Iterator[go.Scatter]:
    points = [
        (_seconds(event.at_ns, origin_ns), float(str(event.data["ready"])))
        for event in events
        if event.kind == "watch" and event.what == "ready-endpoints" and "ready" in event.data
    ]
    if points:
        yield _line("ready endpoints", points, _BLUE, shape="hv")


def _p95(points: Iterable[Point]) -> Iterator[Point]:
    bins: dict[int, list[float]] = {}
    for at, value in points:
        bins.setdefault(int(at // _BIN_SECONDS), []).append(value)
    for number in sorted(bins):
        yield float(number * _BIN_SECONDS), percentile(bins[number], 95)


def _per_second(stamps: Iterable[int | None], origin_ns: int) -> Counter[int]:
    return Counter(int((stamp - origin_ns) // 10**9) for stamp in stamps if stamp is not None)


def _filled(counts: Counter[int]) -> list[Point]:
    """Return a point per second, zeros included: an outage is what the lane is for."""
    if not counts:
        return []
    return [(second + 0.5, float(counts[second])) for second in range(min(counts), max(counts) + 1)]


def _line(name: str, points: Sequence[Point], colour: str, *, shape: str) -> go.Scatter:
    x, y = [at for at, _ in points], [value for _, value in points]
    return go.Scatter(
        name=name, x=x, y=y, mode="lines", line={"color": colour, "width": 1.5, "shape": shape}
    )


def _dots(name: str, points: Sequence[Point], colour: str) -> go.Scatter:
    kept = _thinned(points)
    x, y = [round(at, 3) for at, _ in kept], [round(value, 4) for _, value in kept]
    marker = {"color": colour, "size": 4, "opacity": 0.6}
    return go.Scatter(name=name, x=x, y=y, mode="markers", marker=marker)


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most so many points that a browser stays quick; the worst of each stretch stays."""
    stretch = -(-len(points) // _POINTS)
    if stretch <= 1:
        return list(points)
    borders = [*range(0, len(points), stretch), len(points)]
    return [max(points[a:b], key=lambda point: point[1]) for a, b in pairwise(borders)]


def _seconds(stamp_ns: int, origin_ns: int) -> float:
    return (stamp_ns - origin_ns) * 1e-9
