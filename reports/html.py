"""One self-contained HTML page: the statement, the verdicts, and each fault on its time axis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from hotfire.measure import parts
from hotfire.outcome import Outcome, outcomes
from hotfire.rundir import BudgetRow, Event, Result, RunDirectory
from hotfire.shown import shown
from reports import _words
from reports._certificate import certificate
from reports._figure import window
from reports._head import head
from reports._loads import Load, loads, other_loads, percentiles
from reports._rounds import COLUMNS, rounds

SUFFIX = ".html"
# Told elsewhere on the page.
_TOLD = {"reason", *map(parts.figure_name, parts.PARTS)}
_VERDICTS = ("failed", "inconclusive", "passed", "not-applicable", "left out")
_FILES = ("results.jsonl", "load.json", "logs/pytest.log", "timeline.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One requirement with a recorded load or fault: its budgets, loads and fault events."""

    outcome: Outcome
    loads: tuple[Load, ...]
    budgets: tuple[BudgetRow, ...]
    events: tuple[tuple[str, Event], ...]
    window_seconds: float | None

    @property
    def is_fault(self) -> bool:
        """Whether something was broken here."""
        return self.outcome.first.kind == "fault"

    @property
    def figures(self) -> dict[str, object]:
        """The figures of the case that decided."""
        return figures(self.outcome.decisive)

    @property
    def spent(self) -> list[tuple[str, float, str]]:
        """Where the time to recovery went: name, seconds and meaning of each part."""
        return parts.told(self.outcome.decisive.figures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The requirements of one area, worst first."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def anchor(self) -> str:
        """Where the page tells of it."""
        return f"area-{self.name}"

    def count(self, word: str) -> int:
        """Return how many have a verdict, or were left out."""
        return sum(one.word == word for one in self.outcomes)

    @property
    def told(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count} {word}" for word in _VERDICTS if (count := self.count(word)))


def areas(found: Iterable[Outcome]) -> list[Area]:
    """Return the areas of a run, those with trouble first."""
    by_name: dict[str, list[Outcome]] = {}
    for one in found:
        by_name.setdefault(one.first.area or "run", []).append(one)
    made = [Area(name=name, outcomes=tuple(rows)) for name, rows in by_name.items()]
    return sorted(made, key=lambda area: (-area.outcomes[0].verdict.weight, area.name))


def render(run: RunDirectory) -> str:
    """Return the whole page; it needs nothing but itself, and links evidence beside it."""
    info = run.info()
    found = outcomes(run.results())
    events = run.events()
    sections = [section for outcome in found if (section := _section(run, outcome, events))]
    drawn = [load for section in sections for load in section.loads]
    others = other_loads(run, [outcome.first.id for outcome in found])
    drawn += others
    page = _environment(run).get_template("report.html.j2")
    return page.render(
        info=info,
        head=head(run, found),
        certificate=certificate(found),
        outcomes=found,
        areas=areas(found),
        words=[word for word in _VERDICTS if any(one.word == word for one in found)],
        sections=sections,
        others=others,
        faults=[section for section in sections if section.is_fault],
        rounds=rounds(found),
        round_columns=COLUMNS,
        linked={section.outcome.first.id for section in sections},
        duration=_duration(info.started_at, info.finished_at),
        plotly_js=get_plotlyjs() if any(load.plot for load in drawn) else "",
        files=[name for name in _FILES if run.path(name).exists()],
    )


def figures(case: Result) -> dict[str, object]:
    """Return the figures of a case that neither its reason nor a drawing tells already."""
    return {name: value for name, value in case.figures.items() if name not in _TOLD}


def _environment(run: RunDirectory) -> Environment:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=_seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "because": _words.because,
        "figures": figures,
        "label": _words.label,
        "percentiles": percentiles,
        "plain": _words.plain,
        "portable": partial(_words.portable, run=run),
        "told": _told,
        "utc": _utc,
    }
    environment.globals |= {"counted": _words.counted, "figure": _words.figure}
    return environment


def _seen(value: object) -> object:
    """Return a word as the reader may see it; what is HTML already is our own."""
    plain_text = isinstance(value, str) and not isinstance(value, Markup)
    return shown(str(value), keep="\n\t") if plain_text else value


def _section(run: RunDirectory, outcome: Outcome, events: Iterable[Event]) -> Section | None:
    recorded = [load for case in outcome.cases for load in _loads_of(run, case, outcome, events)]
    name = outcome.decisive.record
    own = [event for event in events if event.experiment == name and event.kind == "fault"]
    budgets = tuple(row for case in outcome.cases for row in case.budgets)
    if not (recorded or own or budgets):
        return None
    fault = window(own)
    return Section(
        outcome=outcome,
        loads=tuple(recorded),
        budgets=budgets,
        events=tuple(_relative(own)),
        window_seconds=(fault[1] - fault[0]) * 1e-9 if fault else None,
    )


def _loads_of(
    run: RunDirectory, case: Result, outcome: Outcome, events: Iterable[Event]
) -> list[Load]:
    """Return the loads of a case; where several cases share a record, those of the first."""
    names = [one.record for one in outcome.cases]
    name = case.record
    if names.index(name) != outcome.cases.index(case):
        return []
    own = [
        event
        for event in events
        if (event.experiment == name and event.kind in {"fault", "watch"})
        or (event.experiment is None and event.kind == "watch")
    ]
    recovered = case.figures.get("recovered_from_clearing_seconds")
    seconds = recovered if isinstance(recovered, float) else None
    return loads(run, name, own, seconds, others=names)


def _relative(events: Sequence[Event]) -> list[tuple[str, Event]]:
    origin = next((e.at_ns for e in events if e.what == "took-effect"), None)
    if origin is None:
        return [(_utc(datetime.fromtimestamp(e.at_ns * 1e-9, UTC)), e) for e in events]
    return [(f"{(event.at_ns - origin) * 1e-9:+.1f} s", event) for event in events]


def _told(data: object) -> str:
    """Return what an event carries as readers want it: names and values, no JSON."""
    if isinstance(data, dict):
        return "; ".join(f"{name}: {_told(value)}" for name, value in data.items())
    if isinstance(data, list | tuple):
        return ", ".join(map(_told, data))
    return str(data)


def _duration(start: datetime, end: datetime | None) -> str:
    if end is None:
        return "not finished"
    minutes, seconds = divmod(round((end - start).total_seconds()), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _utc(stamp: datetime) -> str:
    return f"{stamp:%Y-%m-%d %H:%M:%S} UTC"
