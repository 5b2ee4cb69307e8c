"""A recorded load as reports tell it: its figures, what was sent, how fit its instrument was."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hotfire.measure.bands import Bands
from hotfire.measure.crosscheck import CrossCheck
from hotfire.measure.history import Request, is_whole, load, once, stream
from hotfire.measure.latency import Latency
from hotfire.measure.percentiles import SAMPLE_FLOORS
from hotfire.measure.slo import Summary, summarise
from hotfire.profile import Budgets, Measurement
from hotfire.rundir import Event, RunDirectory
from hotfire.traffic.record.calibration import Calibration
from hotfire.traffic.record.gates import GateResult
from hotfire.traffic.witnesses.vllm_bench import Compared
from reports._figure import figure
from reports._gates import GATES
from reports._words import counted, number, plain, seconds
from reports._words import figure as shown

_PLOT = {"displayModeBar": False, "responsive": True}
_WHOLE = "campaign"
"""The load that went on through all faults of a run; each fault shows its part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One condition that the instrument itself had to meet."""

    name: str
    measured: str
    limit: str
    holds: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What measured one load, and how far it may be believed."""

    name: str
    """Of the load."""
    error: str
    """How exact it was; empty if it left no record."""
    gates: tuple[Gate, ...]
    calibration: str
    """How exact it was when it was last measured, or that nobody did."""
    streamed: str
    """Whether tokens came as they were made, so that times between them were seen."""
    engines: str
    """What the engines say of the same load, or that they were not asked."""
    bench: tuple[str, ...]
    """What another tool measured beside it."""

    @property
    def fit(self) -> bool:
        """Whether it was fit to measure."""
        return bool(self.gates) and all(gate.holds for gate in self.gates)

    @property
    def trouble(self) -> str:
        """Why it was not fit; empty if it was."""
        tripped = "; ".join(gate.reason for gate in self.gates if not gate.holds)
        return tripped if self.gates else "it left no record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load of a requirement."""

    name: str
    plot: str
    about: str
    """What was sent."""
    summary: Summary
    """What users experienced, the warm-up left out."""
    instrument: Instrument


def loads(
    run: RunDirectory,
    name: str,
    events: Sequence[Event],
    recovered_seconds: float | None,
    *,
    others: Sequence[str] = (),
) -> list[Load]:
    """Return the loads recorded under a name; ``recovered_seconds`` is since the clearing.

    ``others`` are names of other records that may begin with this one, such as further rounds.
    """
    longer = [other for other in others if other.startswith(f"{name}-")]
    return [
        _read(run, path, name, events, recovered_seconds)
        for path in _histories(run, name)
        if not any(path.stem.startswith(other) for other in longer)
    ]


def other_loads(run: RunDirectory, names: Iterable[str]) -> list[Load]:
    """Return the loads that belong to none of these requirements, as ``hotfire load`` leaves."""
    return [_read(run, path, path.stem, (), None) for path in _unclaimed(run, names)]


def _unclaimed(run: RunDirectory, names: Iterable[str]) -> list[Path]:
    claimed = {path.stem for name in names for path in _histories(run, name)}
    return [
        path
        for path in _histories(run, "")
        if path.stem not in claimed and not path.stem.startswith(_WHOLE)
    ]


def _histories(run: RunDirectory, name: str) -> list[Path]:
    """Return the recorded loads of a requirement, Parquet before JSONL of the same name."""
    folder = run.path("history")
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files: dict[str, Path] = {}
    for suffix in (".jsonl", ".parquet"):
        # A run that was killed while it packed leaves half a Parquet beside whole lines.
        fitting = [path for path in found if path.suffix == suffix and path.stem.startswith(name)]
        files |= {path.stem: path for path in fitting if path.stem not in files or is_whole(path)}
    return [
        path
        for stem, path in sorted(files.items())
        if stem == name or not name or stem[len(name)] in "-_."
    ]


def _read(
    run: RunDirectory,
    path: Path,
    name: str,
    events: Sequence[Event],
    recovered_seconds: float | None,
) -> Load:
    requests = load(path)
    cleared_ns = _last(events, "verified-healed")
    recovered_ns = None
    if cleared_ns is not None and recovered_seconds is not None:
        recovered_ns = cleared_ns + round(recovered_seconds * 1e9)
    return Load(
        name=path.stem,
        plot=_plot(requests, events, _bands(run, name, requests, events), recovered_ns),
        about=_about(_document(path.with_suffix(".plan.json")), requests),
        summary=_figures(path),
        instrument=_instrument(run, path),
    )


def instruments(run: RunDirectory, name: str = "") -> list[Instrument]:
    """Return what measured each load, of a requirement or of the whole run."""
    return [_instrument(run, path) for path in _histories(run, name)]


def other_instruments(run: RunDirectory, names: Iterable[str]) -> list[Instrument]:
    """Return what measured the loads that belong to none of these requirements."""
    return [_instrument(run, path) for path in _unclaimed(run, names)]


def _instrument(run: RunDirectory, history: Path) -> Instrument:
    found = _record(run, history)
    return Instrument(
        name=history.stem,
        error=_error(found["measured"]),
        gates=tuple(_gates(found["gates"])),
        calibration=_calibration(found["calibration"]),
        streamed=_figures(history).streamed_told,
        engines=_engines(found["cross_check"]),
        bench=tuple(_bench(found["vllm_bench"])),
    )


def summaries(run: RunDirectory) -> Iterator[tuple[str, Summary]]:
    """Yield the name and the figures of each load of a run."""
    for path in _histories(run, ""):
        yield path.stem, _figures(path)


def _figures(path: Path) -> Summary:
    return _summary_of(path, path.stat().st_mtime_ns)


@cache
def _summary_of(path: Path, _changed_ns: int) -> Summary:
    """Return the figures of a history; a long one takes seconds, and several formats ask."""
    return summarise(request for request in once(stream(path)) if request.phase != "warmup")


def percentiles(latency: Latency) -> list[str]:
    """Return p50, p95 and p99 as a table shows them."""
    return [
        f"needs ≥ {SAMPLE_FLOORS[q]}" if value is None else seconds(value)
        for q, value in latency.percentiles().items()
    ]


def records(run: RunDirectory) -> list[dict[str, Any]]:
    """Return of each load what was measured, by what, and what other witnesses say."""
    return [
        {
            "name": name,
            "streamed": summary.streamed,
            "figures": summary.figures(),
            **_record(run, path),
        }
        for path, (name, summary) in zip(_histories(run, ""), summaries(run), strict=True)
    ]


def _record(run: RunDirectory, history: Path) -> dict[str, Any]:
    """Return what lies beside a history about its instrument; None or empty: nobody was asked."""
    found = _document(history.with_suffix(".instrument.json"))
    told = _document(run.path("load.json"))
    mine = told.get("history") == run.relative(history.with_suffix(".jsonl"))
    return {
        "gates": found.get("gates") or [],
        "measured": found.get("measured"),
        "calibration": found.get("calibration"),
        "cross_check": _document(history.with_suffix(".crosscheck.json")) or None,
        "vllm_bench": told.get("vllm_bench", []) if mine else [],
    }


def _plot(
    requests: list[Request], events: Sequence[Event], bands: Bands | None, recovered_ns: int | None
) -> str:
    if not requests:
        return ""
    last_ns = max(request.end_ns or request.sched_ns for request in requests)
    seen = [event for event in events if event.kind != "watch" or event.at_ns <= last_ns]
    drawn = figure(requests, seen, bands=bands, recovered_ns=recovered_ns)
    html: str = drawn.to_html(full_html=False, include_plotlyjs=False, config=_PLOT)
    return html


def _bands(
    run: RunDirectory, name: str, requests: Sequence[Request], events: Sequence[Event]
) -> Bands | None:
    """Return what counted as before the fault; None where nothing was armed."""
    facts, injected_ns = (
        _document(run.path(f"journals/{name}.facts.json")),
        _last(events, "injected"),
    )
    if injected_ns is None or not facts:
        return None
    try:
        slo = Budgets.model_validate(facts["slo"])
        measurement = Measurement.model_validate(facts["measurement"])
    except (KeyError, ValidationError):
        return None
    baseline = [request for request in requests if request.sched_ns < injected_ns]
    return Bands.from_baseline(baseline, slo, measurement)


def _about(plan: Mapping[str, Any], requests: Sequence[Request]) -> str:
    if not requests:
        return "No request was recorded."
    span = (requests[-1].sched_ns - requests[0].sched_ns) * 1e-9
    sent = f"{counted(len(requests), 'request')} in {seconds(span)}"
    if not plan:
        return f"{sent}."
    try:
        return (
            f"{sent}: {str(plan['process']).capitalize()} arrivals,"
            f" {number(plan['rate_per_second'])} per second; {plan['prompt_words']} words in, at"
            f" most {plan['max_tokens']} tokens out."
        )
    except (KeyError, TypeError):
        return f"{sent}; its plan cannot be read."


def _error(measured: object) -> str:
    if not isinstance(measured, Mapping):
        return ""
    parts = []
    for name, word in (("lag", "reads"), ("lateness", "sends")):
        stamps = [measured.get(f"{name}_{q}_seconds") for q in ("p50", "p99", "max")]
        if all(isinstance(stamp, int | float) for stamp in stamps):
            p50, p99, most = (seconds(stamp) for stamp in stamps if stamp is not None)
            parts.append(f"{word} late by {p50} (median), {p99} (p99), {most} (max)")
    return "; ".join(parts)


def _calibration(known: Mapping[str, Any] | None) -> str:
    try:
        return Calibration.model_validate(known).told() if known else "not calibrated"
    except ValidationError:
        return "not calibrated"


def _engines(found: Mapping[str, Any] | None) -> str:
    if not found:
        return "not asked"
    try:
        told = CrossCheck.model_validate(found)
    except ValidationError:
        return "what they said cannot be read"
    return f"{told.agreement}: {told.reason}"


def _gates(found: object) -> Iterator[Gate]:
    try:
        gates = TypeAdapter(tuple[GateResult, ...]).validate_python(found)
    except ValidationError:
        return
    for gate in gates:
        yield Gate(
            name=GATES.get(gate.name, gate.name),
            measured=shown(gate.name, gate.measured),
            limit=shown(gate.name, gate.limit),
            holds=gate.holds,
            reason=gate.reason,
        )


def _bench(found: object) -> Iterator[str]:
    for each in found if isinstance(found, list) else ():
        try:
            yield plain(Compared(**each).told())
        except (TypeError, ValueError):
            yield "another tool's figures cannot be read"


def _document(path: Path) -> dict[str, Any]:
    """Return a JSON object; empty where there is none, or half of one after a crash."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _last(events: Sequence[Event], what: str) -> int | None:
    return next((e.at_ns for e in reversed(events) if e.kind == "fault" and e.what == what), None)
