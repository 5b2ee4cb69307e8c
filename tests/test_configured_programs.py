"""A program that a ConfigMap brings into a pod finds there whatever it imports of ours."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotfire.own_folders import project_root

ROOT = project_root()
SOURCES = ROOT / "src"
WRITTEN = sorted((ROOT / "reference-stack").rglob("*.yaml"))


def parsed(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def generated() -> dict[str, dict[str, Path]]:
    """Return the files of each ConfigMap that kustomize makes, by key."""
    found: dict[str, dict[str, Path]] = {}
    for path in WRITTEN:
        for document in parsed(path):
            for one in (document or {}).get("configMapGenerator", ()):
                for file in one.get("files", ()):
                    key, _, source = file.rpartition("=")
                    place = (path.parent / source).resolve()
                    found.setdefault(one["name"], {})[key or place.name] = place
    return found


FILES = generated()


@dataclass(frozen=True, slots=True)
class Volume:
    """What one volume brings into pods: the sources of its files, and the file that says so."""

    where: str
    sources: frozenset[Path]
    text: str

    def __str__(self) -> str:
        return self.where

    def run(self) -> set[Path]:
        """Return the programs that are run there; all, where none is named."""
        programs = {source for source in self.sources if source.suffix == ".py"}
        named = {one for one in programs if module(one) in self.text or f"/{one.name}" in self.text}
        return named or programs


def volumes() -> Iterator[Volume]:
    for path in WRITTEN:
        for document in parsed(path):
            for number, found in enumerate(within(document)):
                sources = frozenset(source for one in found for source in brought(one))
                name = f"{path.parent.name}/{path.stem}-{number}"
                if any(SOURCES in source.parents for source in sources):
                    yield Volume(name, sources, path.read_text())


def within(node: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401 - YAML
    """Yield the ConfigMaps of each volume anywhere in a document, its patches included."""
    if isinstance(node, str) and node.startswith("- {op:"):
        node = yaml.safe_load(node)
    if isinstance(node, list):
        for one in node:
            yield from within(one)
    elif isinstance(node, dict):
        if sources := node.get("projected", {}).get("sources") if "projected" in node else None:
            yield [one["configMap"] for one in sources if "configMap" in one]
        elif isinstance(node.get("configMap"), dict):
            yield [node["configMap"]]
        else:
            for one in node.values():
                yield from within(one)


def brought(config_map: dict[str, Any]) -> Iterator[Path]:
    files = FILES.get(config_map["name"], {})
    keys = [one["key"] for one in config_map.get("items", ())] or list(files)
    yield from (files[key] for key in keys if key in files)


def module(source: Path) -> str:
    return ".".join(source.relative_to(SOURCES).with_suffix("").parts)


def needed(source: Path) -> Iterator[Path]:
    """Yield the files of ours that a program imports when it starts."""
    for node in ast.parse(source.read_text()).body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        for name in names:
            file = SOURCES / Path(*name.split(".")).with_suffix(".py")
            if name.startswith("hotfire.") and file.exists():
                yield file


@pytest.mark.parametrize("volume", [*volumes()], ids=str)
def test_a_volume_brings_whatever_its_programs_import(volume: Volume) -> None:
    programs, missing = volume.run(), set()
    for source in (seen := list(programs)):
        for file in needed(source):
            if file not in volume.sources:
                missing.add(f"{source.name} imports {file.relative_to(SOURCES)}")
            elif file not in seen:
                seen.append(file)

    assert not missing


def test_there_are_programs_of_several_files() -> None:
    assert sum(len(volume.sources) > 1 for volume in volumes()) >= 4
