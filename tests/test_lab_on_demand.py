"""Add-ons on demand: declared in a folder, resolved with what they need, never built unasked."""

import re
from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.build.parts import go_parts
from hotfire.lab.cluster import extending, on_demand
from hotfire.lab.shape.state import State
from hotfire.lab.shape.topology import KUBERNETES
from hotfire.own_folders import project_root

OVERLAYS = "".join(
    path.read_text()
    for path in (project_root() / "reference-stack/overlays").glob("*/kustomization.yaml")
)
EVERY_ADD_ON = pytest.mark.parametrize("name", on_demand.names())


def test_scaling_comes_with_what_it_needs_before_it() -> None:
    assert [each.name for each in on_demand.resolve(["scaling"])] == [
        "metrics-server",
        "keda",
        "scaling",
    ]


def test_add_on_asked_for_twice_comes_once() -> None:
    found = [each.name for each in on_demand.resolve(["keda", "scaling", "keda"])]

    assert sorted(found) == ["keda", "metrics-server", "scaling"]


def test_unknown_add_on_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(LabError, match=r"no add-on 'kedda'; there are .*keda, .*metrics-server"):
        on_demand.resolve(["kedda"])


@EVERY_ADD_ON
def test_no_add_on_is_among_the_parts_that_are_always_built(name: str) -> None:
    assert name not in {part.name for part in go_parts(KUBERNETES)}


@EVERY_ADD_ON
def test_part_of_an_add_on_pins_the_modules_of_all_its_programs(name: str) -> None:
    part = on_demand.read(name).go_part
    if part is None:
        return
    modules = (part.source / "go.mod").read_text()

    for package in part.programs.values():
        assert re.search(rf"^\s*(tool )?{re.escape(package)}$", modules, flags=re.MULTILINE)


@EVERY_ADD_ON
def test_images_of_the_manifests_are_those_that_are_made(name: str) -> None:
    add_on = on_demand.read(name)
    own = add_on.folder / "kustomization.yaml"
    if not own.exists():
        # What only brings a program is deployed by an overlay.
        assert [one for one in add_on.images if f'value: "{one}"' not in OVERLAYS] == []
        return

    wanted = re.findall(r"newName: ([^,]+), newTag: ([^}]+)}", own.read_text())

    assert {f"{image}:{tag}" for image, tag in wanted} == set(add_on.images)


def test_programs_of_an_add_on_lie_where_workers_look(tmp_path: Path) -> None:
    state = State(tmp_path / "lab")
    state.home.mkdir()
    built = tmp_path / "keda" / "bin"
    built.mkdir(parents=True)
    (built / "keda").write_text("program")

    extending.stock(state, ["keda"], {"keda": built.parent})

    assert (state.add_ons / "keda").read_text() == "program"
    assert state.images.stat().st_size > 0
