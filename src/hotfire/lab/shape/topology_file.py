"""The shape of a lab as a small YAML file or as what the lab remembers: checked where it enters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hotfire import text_files, yaml_text
from hotfire.errors import LabError
from hotfire.lab.gpu.gpus import GpuSharing
from hotfire.lab.shape.topology import KUBERNETES, LAST_WORKER, Topology

MOST_NODES = 8
MOST_CPU_NODES = 4


class _Shape(BaseModel):
    """The fields of a topology file; each may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: int = Field(default=3, ge=1, le=MOST_NODES)
    racks: int = Field(default=3, ge=1, le=MOST_NODES)
    gpus_per_node: int = Field(default=2, ge=0, le=8)
    control_planes: Literal[1, 3] = 1
    uplinks: int = Field(default=2, ge=1, le=4)
    pool_nodes: tuple[int, ...] = ()
    gpu_sharing: dict[str, str] = Field(default_factory=dict)
    add_ons: tuple[str, ...] = ()
    cpu_nodes: int = Field(default=0, ge=0, le=MOST_CPU_NODES)
    kubernetes: str = Field(default=KUBERNETES, pattern=r"^1\.\d+$")

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        workers = {f"n{number}" for number in (*range(1, self.nodes + 1), *self.pool_nodes)}
        if unknown := sorted(self.gpu_sharing.keys() - workers):
            raise ValueError(f"gpu_sharing names {', '.join(unknown)}, and there is no such worker")
        if self.control_planes > 1 and self.racks < self.control_planes:
            raise ValueError(
                f"racks is {self.racks}, and {self.control_planes} control_planes need as many, "
                "or one lost rack takes the quorum"
            )
        if any(not self.nodes < number <= LAST_WORKER for number in self.pool_nodes):
            raise ValueError(f"pool_nodes must lie between nodes and {LAST_WORKER}")
        for words in self.gpu_sharing.values():
            GpuSharing.parse(words)
        return self


def parse(document: object) -> Topology:
    """Return the topology of a document.

    Raises:
        LabError: it has an unknown field or a value that cannot be built.
    """
    try:
        shape = _Shape.model_validate(document if document is not None else {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the topology"
        raise LabError(f"{where}: {first['msg']}, not {first['input']!r}") from error
    fields = shape.model_dump()
    occupied = max(shape.nodes, shape.control_planes)
    return Topology(**{**fields, "racks": min(shape.racks, occupied)})


def read(path: Path, changes: Mapping[str, Any]) -> Topology:
    """Return the topology of a YAML file with single fields changed.

    Raises:
        LabError: it cannot be read or built.
    """
    try:
        document = yaml_text.read(text_files.read(path)) or {}
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: cannot be read as a topology: {error}") from error
    if not isinstance(document, dict):
        raise LabError(f"{path}: expected fields such as `nodes: 3`, not {type(document).__name__}")
    try:
        return parse({**document, **changes})
    except LabError as error:
        raise LabError(f"{path}: {error}") from error


def document(topology: Topology) -> dict[str, Any]:
    """Return what `parse` makes the same topology of."""
    return {name: _plain(getattr(topology, name)) for name in _Shape.model_fields}


def differences(now: Topology, asked: Topology) -> str:
    """Return in words the fields in which a standing lab is not what is asked for."""
    has, wanted = document(now), document(asked)
    return ", ".join(f"{k} {has[k]}, not {wanted[k]}" for k in has if has[k] != wanted[k])


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON can carry
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value
