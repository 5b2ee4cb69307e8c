"""Whether a CNCF submission would be accepted, as far as that can be told offline.

The programme's validator lets some mistakes pass that its reviewers refuse, and refuses some that
nobody expects. Both kinds are looked for here; each is said in words that tell what to do.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from hotfire.errors import ProfileError
from hotfire.verdict import Verdict
from reports import _cncf_product as product
from reports._cncf_items import IMPLEMENTED, NOT_APPLICABLE, STATUSES, checklists
from reports._cncf_log import UNDECIDED
from reports._cncf_readme import NAME as README
from reports._cncf_readme import slug
from reports._cncf_results import JUNIT, RESULTS
from reports._words import counted

_CONFORMANCE = re.compile(
    r"https://github\.com/cncf/k8s-conformance/tree/(master|main)/v\d+\.\d+/[^/]+/?"
)
_LINK = re.compile(r"(?<!\\)\[([^\]]+)\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
_LINES = re.compile(r"L(\d+)(?:-L(\d+))?")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_FOLDER = re.compile(r"v\d+\.\d+")
_ADDRESS = re.compile(r"https?://\S+")


def folder_problems(folder: Path) -> list[str]:
    """Return everything wrong with a folder ``<version>/<product>``; empty: it may be submitted."""
    version = folder.parent.name
    if not _FOLDER.fullmatch(version):
        return [f"{folder} does not lie in a folder named after a version, such as v1.36"]
    try:
        filled = product.read(folder / product.NAME)
    except ProfileError as error:
        return [str(error)]
    return [
        *product_problems(filled, version),
        *_missing_evidence(filled, folder),
        *_dead_links(folder),
        *_unproven(filled, folder),
    ]


def product_problems(filled: product.Product, version: str) -> list[str]:
    """Return what is wrong with PRODUCT.yaml alone."""
    return [
        *_metadata(filled, version),
        *_checklist(filled, version.removeprefix("v")),
        *_descriptions(filled, version.removeprefix("v")),
        *(
            f"{category}.{entry.id}: {problem}"
            for category, rows in filled.spec.items()
            for entry in rows
            for problem in _entry(entry)
        ),
    ]


def _metadata(filled: product.Product, version: str) -> Iterator[str]:
    if filled.fact("kubernetesVersion") != version:
        yield f"kubernetesVersion must be {version}, as the folder is named"
    for name in (*product.ASKED, product.OPTIONAL):
        value = filled.fact(name)
        if value is None and name == product.OPTIONAL:
            continue
        if not isinstance(value, str):
            yield (
                f"{name} is missing" if value is None else f"{name} is no text: write it in quotes"
            )
        elif product.unfilled(value):
            yield f"fill in {name}: {product.ASKED.get(name, 'or remove it')}"
        elif name.endswith("Url") and not _ADDRESS.fullmatch(value):
            yield f"{name} is no address: {value}"
        elif name == "k8sConformanceUrl" and not _CONFORMANCE.fullmatch(value):
            yield f"{name} must look like {product.ASKED[name]}"


def _checklist(filled: product.Product, version: str) -> Iterator[str]:
    if version not in checklists():
        yield f"the checklist of Kubernetes {version} is not known here: compare ids and levels"
    for category, levels in checklists().get(version, {}).items():
        for name, level in levels.items():
            entry = filled.entry(category, name)
            if entry is None:
                yield f"{category}.{name} is missing"
            elif entry.level != level:
                yield f"{category}.{name} must keep its level {level}"
    for category, rows in filled.spec.items():
        names = [row.id for row in rows]
        yield from (
            f"{category}.{name} comes twice" for name in sorted(set(names)) if names.count(name) > 1
        )


def _descriptions(filled: product.Product, version: str) -> Iterator[str]:
    rows = [row for each in filled.spec.values() for row in each]
    if count := sum(product.unfilled(row.description or "") for row in rows):
        yield (
            f"{counted(count, 'description')} to be taken over as they are: put the programme's"
            f" docs/AIConformance-{version}.yaml in the place of {product.NAME}, and report again"
        )


def _entry(entry: product.Entry) -> Iterator[str]:
    evidence = [each for each in entry.evidence or () if each]
    if not entry.status and entry.level == "SHOULD" and not entry.evidence:
        return
    if entry.status and entry.status not in STATUSES:
        yield f"its status {entry.status!r} is none of {', '.join(STATUSES)}"
    elif entry.level == "MUST" and entry.status != IMPLEMENTED:
        yield f"a MUST has to be {IMPLEMENTED}; it is {entry.status or UNDECIDED}"
    elif not entry.status:
        yield "it names evidence and has no status"
    if entry.status == NOT_APPLICABLE and not (entry.notes or "").strip():
        yield "its notes must say why it does not apply"
    if entry.status == IMPLEMENTED and not evidence:
        yield "it names no evidence"


def _missing_evidence(filled: product.Product, folder: Path) -> Iterator[str]:
    for category, rows in filled.spec.items():
        for entry in rows:
            for name in filter(None, entry.evidence or ()):
                if not _ADDRESS.fullmatch(name) and (why := _no_file(name, folder)):
                    yield f"{category}.{entry.id}: evidence {name}: {why}"


def _no_file(name: str, folder: Path) -> str:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        return "it lies outside the folder"
    if "#" in name:
        return "the validator takes the anchor for a part of the file's name: leave it out"
    return "" if path.is_file() else "there is no such file"


def _dead_links(folder: Path) -> Iterator[str]:
    path = folder / README
    if not path.is_file():
        yield f"{README} is missing"
        return
    for words, name, anchor in _LINK.findall(path.read_text(encoding="utf-8")):
        target = folder / name if name else path
        if why := _no_file(target.name, folder) or _no_anchor(target, anchor, words):
            yield f"{README}: the link of {words}: {why}"


def _no_anchor(target: Path, anchor: str, words: str) -> str:
    """Return why an anchor leads nowhere: no such heading, no such lines, or others' lines."""
    if not anchor:
        return ""
    text = target.read_text(encoding="utf-8")
    if not (found := _LINES.fullmatch(anchor)):
        headings = {slug(heading) for heading in _HEADING.findall(text)}
        return "" if anchor in headings else f"no heading gives #{anchor}"
    lines, first, last = text.splitlines(), int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= len(lines):
        return f"{target.name} has no lines {anchor}"
    named = f" {words} " in lines[first - 1]
    return "" if named else f"line {first} of {target.name} tells of something else"


def _unproven(filled: product.Product, folder: Path) -> Iterator[str]:
    """Yield each item that claims more than its requirements show, and counts that disagree."""
    try:
        told = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        rows = {
            item["id"]: [one["verdict"] for one in item["requirements"]] for item in told["items"]
        }
        suites = ElementTree.parse(folder / JUNIT).getroot()  # noqa: S314 - our own document
    except (OSError, ValueError, KeyError, TypeError, ElementTree.ParseError) as error:
        yield f"{RESULTS} or {JUNIT} cannot be read: {error}"
        return
    for category, entries in filled.spec.items():
        for entry in entries:
            found = rows.get(f"{category}.{entry.id}", [])
            if entry.status == IMPLEMENTED and any(one != Verdict.PASSED for one in found):
                yield f"{category}.{entry.id} is {IMPLEMENTED}, and not all its requirements passed"
    count = sum(map(len, rows.values()))
    if len(suites.findall(".//testcase")) != count:
        yield f"{JUNIT} does not have a case for each of the {count} requirements"
