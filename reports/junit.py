"""JUnit XML, as CI systems read it: a test case per case, a suite per area."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hotfire.outcome import outcomes
from hotfire.rundir import Result, RunDirectory
from hotfire.shown import shown
from hotfire.verdict import Verdict
from reports._head import head
from reports._loads import Instrument, instruments, other_instruments
from reports._words import plain, portable

SUFFIX = ".junit.xml"

# A skipped case is green in CI: only what does not apply may be that.
TAGS = {
    Verdict.FAILED: "failure",
    Verdict.INCONCLUSIVE: "error",
    Verdict.NOT_APPLICABLE: "skipped",
}
_FOLDERS = {"check": "suites", "fault": "experiments", "run": "hotfire"}


def render(run: RunDirectory) -> str:
    """Return one testsuite per area; operators' skips are errors, like all that is inconclusive."""
    found = outcomes(run.results())
    top = head(run, found)
    cases = [case for outcome in found for case in outcome.cases]
    cases.sort(key=lambda case: (case.kind, case.area, case.id))
    name = f"hotfire: {top.title}"
    # In any other scope than the full one the title says it.
    name += f" ({top.scope})" if top.scope not in top.title else ""
    root = Element("testsuites", {"name": legal(name)} | _counts(cases))
    for (kind, area), group in groupby(cases, key=lambda case: (case.kind, case.area)):
        members = list(group)
        folder = _FOLDERS[kind]
        stamp = run.info().started_at.isoformat(timespec="seconds")
        facts = {"name": legal(f"{folder}.{area}"), "timestamp": stamp}
        suite = SubElement(root, "testsuite", facts | _counts(members))
        for case in members:
            _add_case(suite, case, instruments(run, case.id))
    if others := other_instruments(run, [case.id for case in cases]):
        suite = SubElement(root, "testsuite", {"name": "loads"} | _counts([]))
        _add_properties(suite, others)
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


def _add_case(suite: Element, case: Result, measured_by: Iterable[Instrument]) -> None:
    element = SubElement(
        suite,
        "testcase",
        classname=f"{suite.get('name')}.{case.id}",
        name=legal(case.case),
        file=legal(case.nodeid.partition("::")[0]),
        time=f"{case.seconds:.3f}",
    )
    _add_properties(element, measured_by)
    if tag := TAGS.get(case.verdict):
        SubElement(element, tag, message=legal(plain(case.reason)), type=case.verdict.value)
    lines = [f"{case.level} {case.statement}", f"source: {case.source}", *case.evidence]
    SubElement(element, "system-out").text = legal("\n".join(lines))


def _add_properties(element: Element, loads: Iterable[Instrument]) -> None:
    """Add what measured each load: its gates, its error, and what other witnesses say."""
    told = [(f"{one.name}: {name}", text) for one in loads for name, text in _told(one)]
    properties = SubElement(element, "properties") if told else element
    for name, text in told:
        SubElement(properties, "property", name=legal(name), value=legal(text))


def _told(load: Instrument) -> Iterator[tuple[str, str]]:
    yield "instrument", "fit" if load.fit else f"not fit: {load.trouble}"
    for gate in load.gates:
        word = "holds" if gate.holds else "tripped"
        yield f"gate {gate.name}", f"{word}: {gate.measured}, limit {gate.limit}"
    yield "calibration", load.calibration
    yield "streamed", load.streamed
    yield "engines", load.engines
    for number, line in enumerate(load.bench, start=1):
        yield f"vllm bench {number}", line


def legal(text: str) -> str:
    """Return a text without the characters that XML cannot carry, or that nobody would see."""
    return shown(text, keep="\n\t")
