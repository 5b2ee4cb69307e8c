"""The lanes of a load's figure: what each shows of the requests and events, and its axis."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import plotly.graph_objects as go

from hotfire.measure.bands import Bands
from hotfire.measure.history import Request
from hotfire.measure.percentiles import percentile
from hotfire.measure.request_times import longest_stall_seconds, ttft_seconds
from hotfire.rundir import Event
from reports._words import seconds as words

_BIN_SECONDS = 10
_POINTS = 4000
_LONGEST_SECONDS = 100_000
# Faster is one chunk in two packets, or two in one.
_FASTEST_SECONDS = 1e-3
# The least from which a p95 is more than the largest value.
_P95_REQUESTS = 20
# Mid tones: they read on a light and on a dark page, and on paper.
_BLUE, GREEN, RED, GREY, _PURPLE = "#3b82f6", "#2da44e", "#e5534b", "#8b949e", "#a371f7"
# One for each class: a key of ten must not use a colour twice.
_CLASS_COLOURS = (
    *(RED, "#f0883e", "#d4a72c", "#a371f7", "#db61a2", "#768390", "#3b82f6", "#3aa6a0"),
    *("#9c7a4d", "#7d9c2e", "#6272e4", "#b0413e", "#4fa3d9", "#c77dba", "#5f8f6b", "#b8860b"),
    *("#8a6fae", "#2f8f9d"),
)
_LANE_PIXELS = {"flat": 70, "tall": 125}
# Labels must not overlap on a narrow page either.
NARROW_PIXELS, LETTER_PIXELS = 620, 6.6
# Paper is 0.7 times as high, its letters are not smaller.
_LINE_PIXELS = 20

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One strip of the figure: a title, the key of its colours, what is drawn."""

    title: str
    key: tuple[tuple[str, str], ...]
    traces: tuple[go.Scatter | go.Bar, ...]
    tall: bool = True
    empty: str = ""
    """What to say in place of nothing."""
    axis: dict[str, object]
    limit: tuple[float, str] | None = None

    @property
    def pixels(self) -> int:
        return _LANE_PIXELS["tall" if self.tall else "flat"]

    @property
    def heading(self) -> list[str]:
        """Title and key, in as many lines as a narrow page needs."""
        lines, width = [f"<b>{self.title}</b>"], len(self.title) * LETTER_PIXELS
        for name, colour in self.key:
            mark = f"<span style='color:{colour}'>■</span> {name}"
            # Three spaces before it, the mark and one after it.
            needed = (len(name) + 5) * LETTER_PIXELS
            if width + needed > NARROW_PIXELS:
                lines, width = [*lines, mark], needed
            else:
                lines[-1], width = f"{lines[-1]}   {mark}", width + needed
        return lines

    @property
    def room(self) -> int:
        """Pixels that the heading's lines need beyond the first."""
        return _LINE_PIXELS * (len(self.heading) - 1)


def lanes_of(
    requests: Sequence[Request],
    events: Iterable[Event],
    *,
    origin_ns: int,
    span: Point,
    bands: Bands | None,
) -> list[Lane]:
    """Return the lanes from the topmost down; second 0 is ``origin_ns``."""
    return [
        _throughput(requests, origin_ns),
        _errors(requests, origin_ns),
        _ttft(requests, origin_ns, bands),
        _gaps(requests, origin_ns),
        *_ready(events, origin_ns, span),
    ]


def _throughput(requests: Sequence[Request], origin_ns: int) -> Lane:
    arrivals = _per_second((r.sched_ns for r in requests), origin_ns)
    completes = _per_second((r.end_ns for r in requests if r.complete), origin_ns)
    return Lane(
        title="Requests per second",
        key=(("arrivals", GREY), ("completes", GREEN)),
        traces=(
            _line("arrivals", _filled(arrivals), GREY, shape="hvh"),
            _line("completes", _filled(completes), GREEN, shape="hvh"),
        ),
        axis=_counts_axis(max([*arrivals.values(), *completes.values()], default=0)),
    )


def _errors(requests: Iterable[Request], origin_ns: int) -> Lane:
    by_class: dict[str, list[int]] = {}
    for request in requests:
        if request.error_class is not None:
            by_class.setdefault(str(request.error_class), []).append(request.sched_ns)
    bars, key, highest = [], [], Counter[int]()
    for place, (name, stamps) in enumerate(sorted(by_class.items())):
        counts = _per_second(stamps, origin_ns)
        colour = _CLASS_COLOURS[place % len(_CLASS_COLOURS)]
        x, y = [second + 0.5 for second in sorted(counts)], [counts[s] for s in sorted(counts)]
        bars.append(_bars(name, x, y, colour))
        key.append((f"{name} ({len(stamps):,})", colour))
        highest += counts
    return Lane(
        title="Errors per second",
        key=tuple(key),
        traces=tuple(bars) or (_bars("errors", [], [], RED),),
        tall=False,
        empty="" if bars else "none",
        axis=_counts_axis(max(highest.values(), default=1)),
    )


def _bars(name: str, x: list[float], y: list[int], colour: str) -> go.Bar:
    hover = f"{name}: %{{y}} scheduled at %{{x}} s<extra></extra>"
    marker = {"color": colour, "line": {"width": 0}}
    return go.Bar(name=name, x=x, y=y, width=1, marker=marker, hovertemplate=hover)


def _ttft(requests: Iterable[Request], origin_ns: int, bands: Bands | None) -> Lane:
    points = [
        (seconds_since(request.sched_ns, origin_ns), ttft)
        for request in requests
        if (ttft := ttft_seconds(request)) is not None
    ]
    limit = bands.ttft_p95_seconds if bands else None
    width = _bin_seconds(points)
    key = [("each request", _BLUE), (f"p95 of {width} s", RED)]
    if limit is not None:
        key.append((f"p95 up to {words(limit)} counts as before (dashed)", GREY))
    p95 = _line("TTFT p95", list(_p95(points, width)), RED, shape="hv")
    return Lane(
        title="TTFT",
        key=tuple(key),
        traces=(_dots("TTFT", points, _BLUE), p95),
        axis=_time_axis([value for _, value in points] + ([limit] if limit else [])),
        limit=(limit, "as before") if limit is not None else None,
    )


def _gaps(requests: Iterable[Request], origin_ns: int) -> Lane:
    points = [
        (seconds_since(request.sched_ns, origin_ns), gap)
        for request in requests
        if (gap := longest_stall_seconds(request)) is not None
    ]
    return Lane(
        title="Longest stall within a stream",
        key=(("each request", _PURPLE),),
        traces=(_dots("longest stall", points, _PURPLE),),
        axis=_time_axis([value for _, value in points]),
    )


def _ready(events: Iterable[Event], origin_ns: int, span: Point) -> Iterator[Lane]:
    points = [
        (seconds_since(event.at_ns, origin_ns), float(ready))
        for event in events
        if event.kind == "watch"
        and event.what == "ready-endpoints"
        and isinstance(ready := event.data.get("ready"), int | float)
    ]
    if points:
        # A watch tells changes only: what was seen last also holds to the end.
        inside = [(min(max(at, span[0]), span[1]), ready) for at, ready in points]
        inside.append((span[1], inside[-1][1]))
        yield Lane(
            title="Ready endpoints",
            key=(),
            traces=(_line("ready endpoints", inside, _BLUE, shape="hv"),),
            tall=False,
            axis=_counts_axis(max(ready for _, ready in points)),
        )


def _counts_axis(highest: float) -> dict[str, object]:
    """Return an axis of whole numbers from zero."""
    steps = (s * 10**e for e in range(9) for s in (1, 2, 5) if highest <= 3 * s * 10**e)
    step = next(steps, highest)
    return {"range": [0, max(highest, 1) * 1.1], "dtick": step, "tick0": 0}


def _time_axis(values: Sequence[float]) -> dict[str, object]:
    """Return a logarithmic axis: a fault makes seconds out of milliseconds."""
    seen = [max(value, _FASTEST_SECONDS) for value in values] or [0.01, 0.1]
    low, high = math.log10(min(seen)), math.log10(max(seen))
    low, high = low - 0.08 * (high - low) - 0.05, high + 0.08 * (high - low) + 0.05
    steps = (1, 3) if high - low < 2.2 else (1,)
    ticks = [
        s * 10.0**e for e in range(-4, 4) for s in steps if low <= math.log10(s * 10.0**e) <= high
    ]
    return {
        "type": "log", "range": [low, high],
        "tickvals": ticks, "ticktext": [words(tick) for tick in ticks],
    }  # fmt: skip


def _bin_seconds(points: Sequence[Point]) -> int:
    """Return a multiple of ten seconds that holds enough requests for a p95, on average."""
    span = points[-1][0] - points[0][0] if points else 0.0
    wanted = 2 * _P95_REQUESTS * span / max(len(points), 1)
    return _BIN_SECONDS * max(1, math.ceil(wanted / _BIN_SECONDS))


def _p95(points: Iterable[Point], width: int) -> Iterator[Point]:
    """Yield the p95 of each stretch at its start, and before a hole at its end as well."""
    bins: dict[int, list[Point]] = {}
    for at, value in points:
        bins.setdefault(math.floor(at / width), []).append((at, value))
    full = {place: inside for place, inside in bins.items() if len(inside) >= _P95_REQUESTS}
    for place, inside in sorted(full.items()):
        value = max(percentile([value for _, value in inside], 95), _FASTEST_SECONDS)
        yield max(float(place * width), inside[0][0]), value
        if place + 1 not in full:
            yield inside[-1][0], value
            yield inside[-1][0], math.nan


def _per_second(stamps: Iterable[int | None], origin_ns: int) -> Counter[int]:
    return Counter(int((stamp - origin_ns) // 10**9) for stamp in stamps if stamp is not None)


def _filled(counts: Counter[int]) -> list[Point]:
    """Return a point per second, zeros included: an outage is what the lane is for."""
    if not counts:
        return []
    if max(counts) - min(counts) > _LONGEST_SECONDS:
        return list(_edges(counts))
    return [(second + 0.5, float(counts[second])) for second in range(min(counts), max(counts) + 1)]


def _edges(counts: Counter[int]) -> Iterator[Point]:
    """Yield the same line with two points to each outage, however long it is."""
    before = min(counts)
    for second in sorted(counts):
        if second > before + 1:
            yield before + 1.5, 0.0
            yield second - 0.5, 0.0
        yield second + 0.5, float(counts[second])
        before = second


def _line(name: str, points: Sequence[Point], colour: str, *, shape: str) -> go.Scatter:
    x, y = [at for at, _ in points], [value for _, value in points]
    return go.Scatter(
        name=name,
        x=x,
        y=y,
        mode="lines",
        line={"color": colour, "width": 1.5, "shape": shape},
        hovertemplate=f"{name}: %{{y:.3~s}} at %{{x:.1f}} s<extra></extra>",
    )


def _dots(name: str, points: Sequence[Point], colour: str) -> go.Scatter:
    kept = _thinned(points)
    x = [round(at, 3) for at, _ in kept]
    return go.Scatter(
        name=name,
        x=x,
        y=[max(round(value, 5), _FASTEST_SECONDS) for _, value in kept],
        mode="markers",
        marker={"color": colour, "size": 3.5, "opacity": 0.55},
        hovertemplate=f"{name}: %{{y:.3~s}}s at %{{x:.1f}} s<extra></extra>",
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most so many points that a browser stays quick; the worst of each stretch stays."""
    stretch = -(-len(points) // _POINTS)
    if stretch <= 1:
        return list(points)
    borders = [*range(0, len(points), stretch), len(points)]
    return [max(points[a:b], key=lambda point: point[1]) for a, b in pairwise(borders)]


def seconds_since(stamp_ns: int, origin_ns: int) -> float:
    return (stamp_ns - origin_ns) * 1e-9
