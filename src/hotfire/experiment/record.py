"""An experiment's record in a run directory, read to judge it then or later."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hotfire.engines.dialect import dialect_of
from hotfire.errors import HistoryError
from hotfire.experiment import pressure
from hotfire.experiment.facts import Facts, Record
from hotfire.experiment.judgement import Judgement, judge
from hotfire.measure.crosscheck import Agreement, CrossCheck, not_comparable
from hotfire.measure.history import Request, is_whole, load
from hotfire.patience import Patience
from hotfire.profile import TargetProfile
from hotfire.prometheus import Prometheus
from hotfire.rundir import RunDirectory
from hotfire.traffic.record.files import Files
from hotfire.traffic.record.gates import Instrument
from hotfire.traffic.witnesses.witness import compared_between, unheard

_SUFFIX = ".facts.json"
_PRESSURE = ".pressure.jsonl"


def pressure_path(run: RunDirectory, experiment: str) -> Path:
    """Return where the pressure on the target's machine is kept."""
    return run.path(f"journals/{experiment}{_PRESSURE}")


def write_facts(run: RunDirectory, facts: Facts) -> None:
    """Keep what was promised."""
    run.write_text(f"journals/{facts.experiment}{_SUFFIX}", facts.model_dump_json(indent=1) + "\n")


def hear_engines(run: RunDirectory, experiment: str, profile: TargetProfile) -> None:
    """Write what the engines say of the load before the fault; after it they die and count anew.

    Nothing is written where there was no baseline.
    """
    record = read_record(run, experiment)
    start_ns = record.event_ns("baseline-start")
    end_ns = record.injected_ns or record.event_ns("baseline-end")
    if start_ns is None or end_ns is None:
        return
    rows = [row for row in record.requests if row.served_by not in unheard(profile)]
    if profile.prometheus_url:
        patience = Patience(outage_seconds=profile.waits.api_outage_seconds, tell=run.tell)
        server = Prometheus(profile.prometheus_url, patience=patience)
        found = compared_between(
            rows, server, start_ns=start_ns, end_ns=end_ns, dialect=dialect_of(profile.engine.kind)
        )
    else:
        found = not_comparable(
            len(rows), "nobody was asked: the target file names no prometheus_url"
        )
    told = found.model_copy(update={"reason": f"before the fault, {found.reason}"})
    path = Files(run.history_path(experiment)).crosscheck
    path.write_text(told.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_record(run: RunDirectory, experiment: str) -> Record:
    """Return the whole record of one experiment.

    Raises:
        HistoryError: a part of it is there but cannot be read.
    """
    path = run.path(f"journals/{experiment}{_SUFFIX}")
    try:
        facts = Facts.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise HistoryError(f"{path}: no facts of an experiment: {error}") from error
    rows = _requests(run, experiment)
    return Record(
        facts=facts,
        journal=_journal(run, experiment),
        requests=rows,
        events=run.events(),
        instrument_trouble=_instrument_trouble(run, experiment),
        quiet=quiet_before(run, experiment),
        pressure=_pressure(run, experiment, rows),
    )


def quiet_before(run: RunDirectory, experiment: str) -> list[list[Request]]:
    """Return the baselines of the faults that this run fired earlier: the same load, unbroken."""
    events = run.events()
    fired = {one.experiment: one.at_ns for one in events if one.what == "injected"}
    own_ns = fired.get(experiment)
    earlier = {
        name: at_ns
        for name, at_ns in fired.items()
        if name and name != experiment and (own_ns is None or at_ns < own_ns)
    }
    found = []
    for name, at_ns in earlier.items():
        with suppress(HistoryError):
            # One that cannot be read is told where it is judged itself.
            found.append([row for row in _requests(run, name) if row.sched_ns < at_ns])
    return found


def _pressure(run: RunDirectory, experiment: str, rows: list[Request]) -> list[tuple[int, float]]:
    """Return how long a CPU was waited for, also in what an earlier fault left as the baseline."""
    own = pressure.read(pressure_path(run, experiment))
    if not own or not rows:
        return own
    paths = sorted(run.path("journals").glob(f"*{_PRESSURE}"))
    samples = sorted(one for path in paths for one in pressure.read(path))
    first_ns, last_ns = min(row.sched_ns for row in rows), max(own)[0]
    return [one for one in samples if first_ns <= one[0] <= last_ns]


def judge_recorded(run: RunDirectory, experiment: str) -> Judgement:
    """Return the verdict on one recorded experiment."""
    return judge(read_record(run, experiment))


def judge_run(run: RunDirectory) -> dict[str, Judgement]:
    """Return the judgement of every experiment in a run, by id; nothing but files is read."""
    paths = sorted(run.path("journals").glob(f"*{_SUFFIX}"))
    names = [path.name.removesuffix(_SUFFIX) for path in paths]
    return {name: judge_recorded(run, name) for name in names}


def _journal(run: RunDirectory, experiment: str) -> dict[str, Any] | None:
    try:
        text = run.journal_path(experiment).read_text(encoding="utf-8")
        journal = json.loads(text)
    except (OSError, ValueError, RecursionError):
        # None, or half of one: the record is incomplete, which the judgement says.
        return None
    return journal if isinstance(journal, dict) else None


def _requests(run: RunDirectory, experiment: str) -> list[Request]:
    lines = run.history_path(experiment)
    for path in (lines, lines.with_suffix(".parquet")):
        if path.exists() and is_whole(path):
            return load(path)
    return []


def _instrument_trouble(run: RunDirectory, experiment: str) -> str | None:
    files = Files(run.history_path(experiment))
    try:
        gates = Instrument.model_validate_json(files.instrument.read_bytes()).gates
    except (OSError, ValidationError):
        return "the load left no record of its own fitness"
    tripped = [gate.reason for gate in gates if not gate.holds]
    tripped += _contradiction(files.crosscheck)
    return (
        None if gates and not tripped else f"the load was not fit to measure: {'; '.join(tripped)}"
    )


def _contradiction(crosscheck: Path) -> list[str]:
    """Return why the client is not believed, if the engines' own account contradicts it."""
    try:
        found = CrossCheck.model_validate_json(crosscheck.read_bytes())
    except (OSError, ValidationError):
        return []
    return [found.reason] if found.agreement is Agreement.MEASURING_FAULT else []
