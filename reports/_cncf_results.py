"""results.json and junit.xml of a CNCF submission: one entry per requirement, none per function."""

import json
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hotfire.rundir import RunDirectory
from hotfire.shown import shown
from hotfire.verdict import Verdict
from reports._cncf_items import Item, Standing
from reports._words import portable
from reports.junit import TAGS, legal

RESULTS, JUNIT = "results.json", "junit.xml"


def results(run: RunDirectory, items: Sequence[Item]) -> str:
    """Return every item with its requirements and their cases."""
    info = run.info()
    document = {
        "run": {
            "id": info.run_id,
            "tool": f"hotfire {info.tool_version}",
            "kubernetes": info.cluster.version if info.cluster else "",
            "started_at": info.started_at.isoformat(),
        },
        "counts": {word: len(_of(word, items)) for word in ("all", *Verdict)},
        "items": [
            {
                "id": item.id,
                "level": item.level,
                "status": item.status,
                "requirements": [_requirement(one) for one in item.standings],
            }
            for item in items
        ],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return shown(portable(text, run), keep="\n") + "\n"


def _of(word: str, items: Sequence[Item]) -> list[Standing]:
    """Return the requirements with a verdict, or all of them."""
    return [one for item in items for one in item.standings if word in {"all", one.verdict}]


def _requirement(one: Standing) -> dict[str, object]:
    cases = one.outcome.cases if one.outcome else ()
    told = {"case", "nodeid", "verdict", "reason", "seconds"}
    return {
        "id": one.requirement.id,
        "level": one.requirement.level,
        "statement": one.requirement.statement,
        "source": one.requirement.source,
        "verdict": one.verdict,
        "reason": one.why,
        "cases": [case.model_dump(mode="json", include=told) for case in cases],
    }


def junit(run: RunDirectory, items: Sequence[Item]) -> str:
    """Return a suite per item and a case per requirement; one left out is an error."""
    root = Element("testsuites", {"name": "CNCF AI Conformance"} | _counts(items))
    for item in items:
        suite = SubElement(root, "testsuite", {"name": legal(item.id)} | _counts([item]))
        for one in item.standings:
            _add(suite, one)
    indent(root)
    text = portable(tostring(root, encoding="unicode"), run)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _counts(items: Sequence[Item]) -> dict[str, str]:
    words = {"tests": "all", "failures": Verdict.FAILED, "errors": Verdict.INCONCLUSIVE}
    words |= {"skipped": Verdict.NOT_APPLICABLE}
    return {name: str(len(_of(word, items))) for name, word in words.items()}


def _add(suite: Element, one: Standing) -> None:
    name = legal(f"{one.requirement.id} {one.requirement.statement}")
    seconds = one.outcome.seconds if one.outcome else 0.0
    case = SubElement(
        suite, "testcase", classname=str(suite.get("name")), name=name, time=f"{seconds:.3f}"
    )
    if tag := TAGS.get(one.verdict):
        SubElement(case, tag, message=legal(one.why), type=one.word)
