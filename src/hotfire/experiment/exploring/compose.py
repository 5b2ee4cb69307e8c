"""A schedule as an experiment file: of one fault its own, of several one in which they overlap.

Together they may cost what they may cost one after the other; what is more is the overlap's doing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from hotfire.experiment.document import Document, Experiment
from hotfire.experiment.exploring.schedule import Part, Schedule
from hotfire.profile import TargetProfile

_EXTENSIONS: Final = "extensions"
Block: TypeAlias = dict[str, Any]


def compose(
    schedule: Schedule,
    known: Mapping[str, Experiment],
    profile: TargetProfile,
    *,
    id_: str,
    told: str,
) -> Document:
    """Return the experiment of a schedule.

    Args:
        schedule: Which faults, when.
        known: The experiment of each by its id.
        profile: What the target may cost a fault.
        id_: What it is called.
        told: Why it was written.
    """
    experiments = [known[part.fault] for part in schedule.parts]
    blocks = [_block(one) for one in experiments]
    first = blocks[0]
    changes: Block = {
        "id": id_,
        "scope": "full",
        "features": sorted({name for block in blocks for name in block.get("features", ())}),
        "hold_seconds": schedule.hold_seconds,
        "budgets": _budgets(experiments, profile),
    }
    if len(blocks) > 1:
        changes |= _together(schedule.parts, blocks)
    document = experiments[0].document
    return document | {
        "title": "; and with it: ".join(one.title for one in experiments),
        "description": told,
        _EXTENSIONS: [first | changes],
    }


def _block(experiment: Experiment) -> Block:
    found: Block = next(one for one in experiment.document[_EXTENSIONS] if one["name"] == "hotfire")
    return found


def _together(parts: Iterable[Part], blocks: list[Block]) -> Block:
    ours = [number for number, one in enumerate(blocks) if one["repaired_by"] == "hotfire"]
    everything = len(ours) == len(blocks)
    return {
        "level": "MUST" if all(one["level"] == "MUST" for one in blocks) else "SHOULD",
        "targets": {"word": "together", "parts": [one["targets"] for one in blocks]},
        "steps": [
            step
            for number, (part, block) in enumerate(zip(parts, blocks, strict=True))
            for step in _steps(number, part, block)
        ],
        "seen": {"word": "each-part", "parts": [one["seen"] for one in blocks]},
        "gone": {
            "word": "each-part",
            "parts": [one["gone"] for one in blocks],
            "undone_by_us": ours,
        },
        "repaired_by": "hotfire" if everything else "target",
    }


def _steps(number: int, part: Part, block: Block) -> list[Block]:
    steps = [step | {"part": number} for step in block["steps"]]
    steps[0] |= {"after_seconds": part.after_seconds}
    return steps


def _budgets(experiments: Iterable[Experiment], profile: TargetProfile) -> dict[str, float]:
    """Return the sum of each budget that all of them have."""
    limits = [one.budgets(profile).model_dump(exclude_none=True) for one in experiments]
    shared = set(limits[0]).intersection(*limits)
    found = {name: sum(one[name] for one in limits) for name in limits[0] if name in shared}
    if "error_ratio" in found:
        found["error_ratio"] = min(found["error_ratio"], 1.0)
    return found
