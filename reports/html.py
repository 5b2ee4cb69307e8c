"""One self-contained HTML page: the statement, the verdicts, and each fault on its time axis."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from hotfire.history import load
from hotfire.outcome import Outcome, headline, outcomes
from hotfire.rundir import Event, RunDirectory
from reports._lanes import figure, window

SUFFIX = ".html"
_PLOT = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One requirement with a recorded history: its figures, budgets and fault events."""

    outcome: Outcome
    figures: tuple[tuple[str, str], ...]
    budgets: tuple[dict[str, Any], ...]
    events: tuple[tuple[str, Event], ...]
    window_seconds: float | None


def render(run: RunDirectory) -> str:
    """Return the whole page; it needs nothing but itself, and links evidence beside it."""
    info = run.info()
    found = outcomes(run.results())
    sections = [section for outcome in found if (section := _section(run, outcome))]
    page = _environment().get_template("report.html.j2")
    return page.render(
        info=info,
        headline=headline(info.target_name, info.conformance, found),
        outcomes=found,
        sections=sections,
        duration=_duration(info.started_at, info.finished_at),
        plotly_js=get_plotlyjs() if any(section.figures for section in sections) else "",
        logs=[name for name in ("logs/pytest.log", "timeline.jsonl") if run.path(name).exists()],
    )


def _environment() -> Environment:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _number
    environment.filters["utc"] = _utc
    return environment


def _section(run: RunDirectory, outcome: Outcome) -> Section | None:
    name = outcome.first.id
    events = [event for event in run.events() if event.experiment in {name, None}]
    own = [event for event in events if event.experiment == name and event.kind == "fault"]
    histories = _histories(run, name)
    budgets = _budgets(run, outcome)
    if not (histories or own or budgets):
        return None
    fault = window(own)
    return Section(
        outcome=outcome,
        figures=tuple((path.stem, _drawn(path, own, events)) for path in histories),
        budgets=tuple(budgets),
        events=tuple(_relative(own)),
        window_seconds=(fault[1] - fault[0]) * 1e-9 if fault else None,
    )


def _histories(run: RunDirectory, name: str) -> list[Path]:
    """Return the recorded loads of a requirement, Parquet before JSONL of the same name."""
    files = {
        path.stem: path
        for suffix in ("jsonl", "parquet")
        for path in sorted(run.path("history").glob(f"{name}*.{suffix}"))
    }
    return [
        path for stem, path in sorted(files.items()) if stem == name or stem[len(name)] in "-_."
    ]


def _drawn(path: Path, own: list[Event], events: Iterable[Event]) -> str:
    requests = load(path)
    if not requests:
        return ""
    first, last = requests[0].sched_ns, max(r.end_ns or r.sched_ns for r in requests)
    watched = [e for e in events if e.kind == "watch" and first <= e.at_ns <= last]
    drawn = figure(requests, [*own, *watched])
    html: str = drawn.to_html(full_html=False, include_plotlyjs=False, config=_PLOT)
    return html


def _budgets(run: RunDirectory, outcome: Outcome) -> list[dict[str, Any]]:
    """Return the budgets that a case recorded as judged: name, limit, measured, verdict, reason."""
    found = []
    for case in outcome.cases:
        for name in case.evidence:
            if name.endswith("observations.jsonl"):
                found += _observed(run.path(name), "budgets")
    return [row for row in found if isinstance(row, dict) and {"name", "limit"} <= row.keys()]


def _observed(path: Path, name: str) -> list[Any]:
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    values = [line["value"] for line in lines if line["name"] == name]
    return [row for value in values if isinstance(value, list) for row in value]


def _relative(events: list[Event]) -> list[tuple[str, Event]]:
    origin = next((e.at_ns for e in events if e.what == "took-effect"), None)
    if origin is None:
        return [(_utc(datetime.fromtimestamp(e.at_ns * 1e-9, UTC)), e) for e in events]
    return [(f"{(event.at_ns - origin) * 1e-9:+.1f} s", event) for event in events]


def _duration(start: datetime, end: datetime | None) -> str:
    if end is None:
        return "not finished"
    minutes, seconds = divmod(round((end - start).total_seconds()), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _utc(stamp: datetime) -> str:
    return f"{stamp:%Y-%m-%d %H:%M:%S} UTC"


def _number(value: object) -> str:
    """Return a figure as a reader wants it: four digits, nothing for what was not measured."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
