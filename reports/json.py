"""The run as one JSON document, for programs."""

import json

from hotfire.outcome import judged, outcomes
from hotfire.rundir import RunDirectory
from hotfire.shown import shown
from reports._head import head
from reports._loads import records
from reports._words import portable

SUFFIX = ".json"


def render(run: RunDirectory) -> str:
    """Return run.json, one object per requirement with its cases, the loads, the fault events."""
    found = outcomes(run.results())
    info = judged(run, found)
    top = head(run, found)
    document = {
        "run": info.model_dump(mode="json"),
        "headline": top.headline,
        "scope": top.scope,
        "requirements": [
            {
                "id": outcome.first.id,
                "level": outcome.first.level,
                "statement": outcome.first.statement,
                "verdict": outcome.verdict,
                "reason": outcome.decisive.reason,
                "skipped_by_operator": outcome.skipped,
                "cases": [case.model_dump(mode="json") for case in outcome.cases],
            }
            for outcome in found
        ],
        "loads": records(run),
        "events": [e.model_dump(mode="json") for e in run.events() if e.kind == "fault"],
    }
    # A percentile over lost requests is infinite, which JSON cannot say: it becomes a string.
    text = json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False)
    return shown(portable(text, run), keep="\n") + "\n"


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value
