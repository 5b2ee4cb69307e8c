"""An experiment file says everything, names only ours, and cannot forget its undo."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotfire.chaos import words
from hotfire.errors import ProfileError
from hotfire.experiment import Experiment
from hotfire.gateway import Gateway
from hotfire.profile import Budgets, Engine, TargetProfile

EXPERIMENTS = sorted(Path(__file__).parents[2].joinpath("experiments").glob("*/*.yaml"))


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(EXPERIMENTS[0].read_text())
    return deepcopy(found)


def write(document: dict[str, Any], folder: Path) -> Path:
    path = folder / "fault.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_this_repository_loads(path: Path) -> None:
    experiment = Experiment.load(path)

    assert experiment.id.startswith("FLT-")
    assert experiment.description
    assert experiment.fault.budgets.recovery_seconds


def test_no_two_experiments_share_an_id() -> None:
    ids = [Experiment.load(path).id for path in EXPERIMENTS]

    assert len(set(ids)) == len(ids) > 2


def test_an_unknown_key_of_the_extension_is_an_error(
    document: dict[str, Any], tmp_path: Path
) -> None:
    document["extensions"][0]["budget"] = {}

    with pytest.raises(ProfileError, match="budget"):
        Experiment.load(write(document, tmp_path))


def test_who_is_hit_cannot_be_left_out(document: dict[str, Any], tmp_path: Path) -> None:
    del document["extensions"][0]["targets"]

    with pytest.raises(ProfileError, match="targets"):
        Experiment.load(write(document, tmp_path))


@pytest.mark.parametrize(
    ("part", "given", "told"),
    [
        ("targets", {"word": "engine-pod"}, "no word 'engine-pod'.*did you mean engine-pods"),
        ("targets", {"word": "engine-pods", "cuont": 2}, r"targets.*cuont|cuont"),
        ("seen", {"word": "os"}, "no word 'os' among sightings; there are "),
        ("gone", "engines-ready", "a mapping with `word`"),
        ("steps", [], "steps"),
        ("steps", [{"word": "../step"}], "no word"),
    ],
)
def test_a_wrong_word_is_told_with_the_nearest_one(
    document: dict[str, Any], tmp_path: Path, part: str, given: object, told: str
) -> None:
    document["extensions"][0][part] = given

    with pytest.raises(ProfileError, match=told):
        Experiment.load(write(document, tmp_path))


def test_every_experiment_is_made_by_one_template() -> None:
    # What is particular to a fault stands in its words: no file hides a step of its own.
    own = {"title", "description", "extensions"}
    documents = [Experiment.load(path).document for path in EXPERIMENTS]
    shapes = [{key: part for key, part in one.items() if key not in own} for one in documents]

    assert all(shape == shapes[0] for shape in shapes)
    method = [one["provider"]["func"] for one in shapes[0]["method"]]
    assert method == ["inject", "seen", "hold", "undo", "gone"]


@pytest.mark.parametrize("folder", ["targets", "steps", "sightings"])
def test_every_word_is_found_by_its_name(folder: words.Folder) -> None:
    for word in words.known(folder):
        assert words.class_of(folder, word).model_fields["word"].default == word


def test_a_fault_without_rollback_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    document["rollbacks"] = []

    with pytest.raises(ProfileError, match="rollback"):
        Experiment.load(write(document, tmp_path))


def test_rollbacks_that_would_be_skipped_on_failure_are_refused(
    document: dict[str, Any], tmp_path: Path
) -> None:
    del document["runtime"]

    with pytest.raises(ProfileError, match="strategy to always"):
        Experiment.load(write(document, tmp_path))


def test_a_fault_without_its_proof_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    names = {"fault-took-effect"}
    document["method"] = [one for one in document["method"] if one["name"] not in names]

    with pytest.raises(ProfileError, match="lacks the probe fault-took-effect"):
        Experiment.load(write(document, tmp_path))


def test_an_action_of_somebody_else_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    drain = {"type": "python", "module": "chaosk8s.node.actions", "func": "drain_nodes"}
    document["method"].append({"type": "action", "name": "drain", "provider": drain})

    with pytest.raises(ProfileError, match="chaosk8s"):
        Experiment.load(write(document, tmp_path))


def test_a_profile_replaces_single_budgets_and_keeps_the_others() -> None:
    experiment = Experiment.load(EXPERIMENTS[-1])
    profile = TargetProfile(
        name="t",
        gateway=Gateway(url="http://10.0.0.1"),
        engine=Engine(model="m"),
        budgets=Budgets(),
        fault_budgets={experiment.id: Budgets(recovery_seconds=120)},
    )

    budgets = experiment.budgets(profile)

    assert budgets.recovery_seconds == 120
    assert budgets.error_ratio == experiment.fault.budgets.error_ratio
