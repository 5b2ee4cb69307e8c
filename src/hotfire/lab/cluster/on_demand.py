"""The add-ons that a lab gets only when asked: the folders of ``manifests/add-ons``.

Each holds an ``add_on.yaml`` that `AddOn` reads, and a kustomization unless it only names others or
brings a program that an overlay of the reference stack deploys.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from hotfire.errors import LabError
from hotfire.lab.build.images import Image
from hotfire.lab.build.native import NativePart
from hotfire.lab.build.parts import GoPart

_FOLDER = Path(__file__).parent / "manifests" / "add-ons"


class Programs(BaseModel):
    """What is built for an add-on: as `GoPart`, which see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    programs: dict[str, str]
    tags: str = ""
    ldflags: str = ""
    shares: tuple[tuple[str, str, str], ...] = ()


class Native(BaseModel):
    """What is built of C++ for an add-on: as `NativePart`, which see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: str
    sources: str
    options: tuple[str, ...]
    model: str


class AddOn(BaseModel):
    """One folder's declaration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str
    needs: tuple[str, ...] = ()
    """Add-ons that have to be there before."""
    part: Programs | None = None
    """What is built; its go.mod lies in ``parts/<name>``."""
    native: Native | None = None
    """What is built instead of C++; what pins it lies there."""
    images: dict[str, str] = {}
    """The images its pods ask for, each with the program it starts."""

    @property
    def folder(self) -> Path:
        return _FOLDER / self.name

    @cached_property
    def go_part(self) -> GoPart | None:
        return GoPart(name=self.name, **self.part.model_dump()) if self.part else None

    @cached_property
    def built_part(self) -> GoPart | NativePart | None:
        if self.native is None:
            return self.go_part
        return NativePart(name=self.name, **self.native.model_dump())

    def made_images(self) -> list[Image]:
        return [
            Image(name=name, entrypoint=(program,), command=())
            for name, program in self.images.items()
        ]


def names() -> list[str]:
    """Return the add-ons there are."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/add_on.yaml"))


def read(name: str) -> AddOn:
    """Return one add-on.

    Raises:
        LabError: there is none of that name.
    """
    if name not in names():
        raise LabError(f"no add-on {name!r}; there are {', '.join(names())}")
    document = yaml.safe_load((_FOLDER / name / "add_on.yaml").read_text(encoding="utf-8"))
    return AddOn(name=name, **document)


def resolve(wanted: Iterable[str]) -> list[AddOn]:
    """Return the add-ons of these names and all that they need, each once, the needed first.

    Raises:
        LabError: there is no such add-on.
    """
    found: dict[str, AddOn] = {}
    for name in wanted:
        add_on = read(name)
        found |= {each.name: each for each in resolve(add_on.needs)}
        found[name] = add_on
    return list(found.values())
