"""PRODUCT.yaml of the CNCF AI Conformance programme: its shape, and how it is read and written.

It is the one place where a vendor fills in what no run can know. What is filled in there stays when
the report is made again.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hotfire import yaml_text
from hotfire.errors import ProfileError
from hotfire.rundir import RunInfo

NAME: Final = "PRODUCT.yaml"
# In brackets, which the programme's own validator takes for something not filled in.
_TODO = "[TODO: {}]"
_PLACEHOLDER = re.compile(r"\[.*\]", re.DOTALL)
ASKED: Final = {
    "vendorName": "name of the legal entity, exactly as at landscape.cncf.io/members",
    "platformName": "name of the product",
    "platformVersion": "version of the product, not of Kubernetes",
    "websiteUrl": "address that tells of the product",
    "documentationUrl": "address of its documentation",
    "productLogoUrl": "address of its logo, an SVG, AI or EPS file with its name",
    "description": "one sentence about the product",
    "contactEmailAddress": "who answers questions about this submission",
    "k8sConformanceUrl": "https://github.com/cncf/k8s-conformance/tree/master/vX.Y/PRODUCT",
}
OPTIONAL: Final = "repoUrl"
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COMMENT = """\
# Fill in every [TODO: ...]. `hotfire report RUN --format cncf` writes this file again from the run
# and keeps what you filled in: metadata, descriptions, notes before "hotfire:", addresses of your
# own under evidence, and all of an item behind which no requirement of hotfire stands.
"""


class Entry(BaseModel):
    """One item, with what is claimed of it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    id: str
    description: str | None = ""
    level: str
    status: str | None = ""
    evidence: list[str] | None = Field(default_factory=list)
    notes: str | None = ""


class Product(BaseModel):
    """The whole file; metadata are texts, which only its writer can get wrong."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    metadata: dict[str, object]
    spec: dict[str, list[Entry]]

    def entry(self, category: str, name: str) -> Entry | None:
        """Return one item, the last of its name as the programme's validator takes it."""
        return {entry.id: entry for entry in self.spec.get(category, ())}.get(name)

    def fact(self, name: str) -> object:
        """Return a field of the metadata by its name, in either way to write it."""
        return self.metadata.get(name, self.metadata.get(_CAPITAL.sub("_", name).lower()))


def read(path: Path) -> Product:
    """Return a file that somebody filled in.

    Raises:
        ProfileError: it cannot be read, or is of another shape.
    """
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ProfileError(f"{path}: {place}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path}: {error}") from error


def parsed(document: str) -> Product:
    """Return the file of a text, which is known to be one."""
    return Product.model_validate(yaml_text.read(document))


def text(metadata: Mapping[str, str], spec: Mapping[str, list[Entry]]) -> str:
    """Return the file; what looks like a number is quoted, since a version is none."""
    document = {
        "metadata": dict(metadata),
        "spec": {name: [entry.model_dump() for entry in rows] for name, rows in spec.items()},
    }
    return _COMMENT + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def metadata(version: str, info: RunInfo, kept: Product | None) -> dict[str, str]:
    """Return what is known of the product, and what has to be filled in.

    Raises:
        ProfileError: something filled in is no text; a version such as 1.10 would lose its zero.
    """
    known = {name: _fact(kept, name) for name in (*ASKED, OPTIONAL)}
    facts = {"kubernetesVersion": version}
    facts |= {name: known[name] or todo(hint) for name, hint in ASKED.items()}
    if facts["platformName"] == todo(ASKED["platformName"]):
        facts["platformName"] = info.target_name
    return facts | ({OPTIONAL: known[OPTIONAL]} if known[OPTIONAL] else {})


def _fact(kept: Product | None, name: str) -> str:
    value = kept.fact(name) if kept else None
    if value is not None and not isinstance(value, str):
        raise ProfileError(f"{NAME}: {name} {value!r} is no text; write it in quotes")
    return "" if value is None or unfilled(value) else value


def todo(hint: str) -> str:
    """Return what stands where something has to be filled in."""
    return _TODO.format(hint)


def unfilled(value: str) -> bool:
    """Return whether a field is still what it was before anybody filled it in."""
    return not value.strip() or bool(_PLACEHOLDER.fullmatch(value.strip()))
