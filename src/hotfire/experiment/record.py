"""An experiment's record in a run directory, read to judge it then or later."""

import json
from typing import Any

from pydantic import ValidationError

from hotfire.errors import HistoryError
from hotfire.experiment.judgement import Facts, Judgement, Record, judge
from hotfire.history import Request, load
from hotfire.rundir import RunDirectory
from hotfire.traffic.files import Files
from hotfire.traffic.gates import Instrument

_SUFFIX = ".facts.json"


def write_facts(run: RunDirectory, facts: Facts) -> None:
    """Keep what was promised."""
    run.write_text(f"journals/{facts.experiment}{_SUFFIX}", facts.model_dump_json(indent=1) + "\n")


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
    return Record(
        facts=facts,
        journal=_journal(run, experiment),
        requests=_requests(run, experiment),
        events=run.events(),
        instrument_trouble=_instrument_trouble(run, experiment),
    )


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
        journal: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        # None, or half of one: the record is incomplete, which the judgement says.
        return None
    return journal


def _requests(run: RunDirectory, experiment: str) -> list[Request]:
    lines = run.history_path(experiment)
    for path in (lines, lines.with_suffix(".parquet")):
        if path.exists():
            return load(path)
    return []


def _instrument_trouble(run: RunDirectory, experiment: str) -> str | None:
    path = Files(run.history_path(experiment)).instrument
    try:
        gates = Instrument.model_validate_json(path.read_bytes()).gates
    except (OSError, ValidationError):
        return "the load left no record of its own fitness"
    tripped = "; ".join(gate.reason for gate in gates if not gate.holds)
    return f"the load was not fit to measure: {tripped}" if tripped or not gates else None
