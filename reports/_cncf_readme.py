"""README.md of a CNCF submission: what each item amounts to, why, and what is left to do."""

import re
from collections.abc import Iterator, Sequence

from hotfire.outcome import extent, outcomes
from hotfire.rundir import RunDirectory
from reports._cncf_items import Item, Standing, minor_version, nearest
from reports._cncf_log import UNDECIDED, Log
from reports._words import counted, portable
from reports.markdown import cell, linked

NAME = "README.md"
_RULE = """\
An item is *Implemented* only if every requirement behind it passed, with evidence. One that failed
makes it *Partially Implemented* or *Not Implemented*; one that could not be decided, or was left
out of the run, leaves it undecided, and its status empty. Requirements are counted, however many
test cases each of them has."""
_TITLE = "CNCF AI Conformance as measured by hotfire"


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def readme(run: RunDirectory, items: Sequence[Item], log: Log, left: Sequence[str]) -> str:
    """Return the page; ``left`` is what stands between the folder and a submission."""
    lines = [
        f"# {cell(run.info().target_name)}: {_TITLE}",
        "",
        *_about(run, items),
        "",
        *_table(items),
        "",
        _RULE,
        "",
        "## Left to do before submission",
        "",
        *([f"- {cell(line)}" for line in left] or ["Nothing that can be checked offline."]),
        "",
        "The programme's own validator also opens every address and compares `vendorName` with the",
        "members of the CNCF; that needs a network, and is not done here.",
    ]
    for item in items:
        lines += ["", *_section(item, log)]
    return portable("\n".join(lines), run) + "\n"


def _about(run: RunDirectory, items: Sequence[Item]) -> Iterator[str]:
    info, version = run.info(), minor_version(run.info())
    scope = extent(info, outcomes(run.results()))
    total = sum(len(item.standings) for item in items)
    passed = sum(item.passed for item in items)
    yield cell(
        f"Run {info.run_id} of hotfire {info.tool_version}, {info.started_at:%Y-%m-%d %H:%M} UTC,"
        f" on Kubernetes {info.cluster.version if info.cluster else ''}."
        f" {passed} of {counted(total, 'requirement')} passed. Scope {scope}."
    )
    if nearest(version) != version.removeprefix("v"):
        yield ""
        yield f"The checklist of {version} is not known here; this is that of v{nearest(version)}."


def _table(items: Sequence[Item]) -> Iterator[str]:
    yield "| Item | Level | Status | Requirements |"
    yield "|---|---|---|---|"
    for item in items:
        passed = f"{item.passed} of {len(item.standings)} passed" if item.standings else "none here"
        name = f"[{cell(item.id)}](#{slug(item.id)})"
        status = item.status or (UNDECIDED if item.standings else "the vendor's word")
        yield f"| {name} | {item.level} | {status} | {passed} |"


def _section(item: Item, log: Log) -> Iterator[str]:
    yield f"### {item.id}"
    yield ""
    if not item.standings:
        yield "No requirement of hotfire stands behind this item: whatever is claimed of it in"
        yield "PRODUCT.yaml is the vendor's word, with evidence of the vendor's own."
        return
    yield f"Status: {item.status or UNDECIDED}. In the log: {log.anchor(item.id)}."
    yield ""
    yield "| Verdict | Level | Requirement | Statement | Because | Log |"
    yield "|---|---|---|---|---|---|"
    yield from (_row(one, log) for one in item.standings)


def _row(one: Standing, log: Log) -> str:
    claim = one.requirement
    told = (linked(claim.id, claim.source), cell(claim.statement), cell(one.why))
    return f"| {one.word} | {claim.level} | {' | '.join(told)} | {log.anchor(claim.id)} |"
