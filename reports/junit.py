"""JUnit XML, as CI systems read it: a test case per case, a suite per area."""

import re
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hotfire.outcome import outcomes
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Verdict
from reports._words import plain, portable

SUFFIX = ".junit.xml"

# A skipped case is green in CI: only what does not apply may be that.
_TAGS = {
    Verdict.FAILED: "failure",
    Verdict.INCONCLUSIVE: "error",
    Verdict.NOT_APPLICABLE: "skipped",
}
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(run: RunDirectory) -> str:
    """Return one testsuite per area; operators' skips are errors, like all that is inconclusive."""
    info = run.info()
    cases = [case for outcome in outcomes(run.results()) for case in outcome.cases]
    cases.sort(key=lambda case: (case.kind, case.area, case.id))
    root = Element("testsuites", {"name": f"hotfire {info.target_name}"} | _counts(cases))
    for (kind, area), group in groupby(cases, key=lambda case: (case.kind, case.area)):
        members = list(group)
        folder = "suites" if kind == "check" else "experiments"
        stamp = info.started_at.isoformat(timespec="seconds")
        facts = {"name": f"{folder}.{area}", "timestamp": stamp}
        suite = SubElement(root, "testsuite", facts | _counts(members))
        for case in members:
            _add_case(suite, case)
    indent(root)
    text = portable(tostring(root, encoding="unicode"), run)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _counts(cases: list[Result]) -> dict[str, str]:
    def count(verdict: Verdict) -> str:
        return str(sum(case.verdict is verdict for case in cases))

    return {
        "tests": str(len(cases)),
        "failures": count(Verdict.FAILED),
        "errors": count(Verdict.INCONCLUSIVE),
        "skipped": count(Verdict.NOT_APPLICABLE),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def _add_case(suite: Element, case: Result) -> None:
    element = SubElement(
        suite,
        "testcase",
        classname=f"{suite.get('name')}.{case.id}",
        name=_legal(case.case),
        file=case.nodeid.partition("::")[0],
        time=f"{case.seconds:.3f}",
    )
    if tag := _TAGS.get(case.verdict):
        SubElement(element, tag, message=_legal(plain(case.reason)), type=case.verdict.value)
    lines = [f"{case.level} {case.statement}", f"source: {case.source}", *case.evidence]
    SubElement(element, "system-out").text = _legal("\n".join(lines))


def _legal(text: str) -> str:
    """Return a text without the characters XML cannot carry; a target may send any."""
    return _ILLEGAL.sub("\ufffd", text)
