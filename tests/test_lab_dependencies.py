"""The store machine's addresses, where others have written them down."""

from pathlib import Path

import yaml

from hotfire.lab.machine import dependencies
from hotfire.lab.shape.topology import Topology
from hotfire.own_folders import project_root

OVERLAY = project_root() / "reference-stack" / "overlays" / "lab" / "kustomization.yaml"


def test_engines_of_the_lab_ask_the_store_of_the_topology() -> None:
    patches = yaml.safe_load(OVERLAY.read_text())["patches"]
    operations = [each for patch in patches for each in yaml.safe_load(patch["patch"])]

    given = [each["value"] for each in operations if "initContainers" in each["path"]]

    assert given == [dependencies.model_url(Topology())]


def test_store_serves_the_host_directory_read_only() -> None:
    plan = dependencies.blueprint(Topology(), python=Path("/py"), model=Path("/parts/model"))

    model = next(bind for bind in plan.binds if bind.source == "/parts/model")
    assert model.target == "/opt/hotfire/models/tiny"
    assert model.read_only
