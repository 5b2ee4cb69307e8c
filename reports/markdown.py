"""Markdown, for merge requests and tickets."""

from hotfire.outcome import Outcome, headline, outcomes
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.verdict import Verdict

SUFFIX = ".md"


def render(run: RunDirectory) -> str:
    """Return the statement and one line per requirement, worst verdict first."""
    info = run.info()
    found = outcomes(run.results())
    lines = [
        f"# {_cell(headline(info.target_name, info.conformance, found))}",
        "",
        _about(info),
        "",
        "| Verdict | Level | Requirement | Statement | Because |",
        "|---|---|---|---|---|",
        *map(_row, found),
    ]
    lines += [f"- {_cell(note)}" for note in info.notes]
    return "\n".join(lines) + "\n"


def _about(info: RunInfo) -> str:
    cluster = ""
    if info.cluster:
        cluster = f", on Kubernetes {info.cluster.version} with {len(info.cluster.nodes)} nodes"
    began = f"{info.started_at:%Y-%m-%d %H:%M} UTC"
    return f"hotfire {info.tool_version}, run `{info.run_id}`, {began}{cluster}."


def _row(outcome: Outcome) -> str:
    first = outcome.first
    verdict = "left out" if outcome.skipped else outcome.verdict.value
    if outcome.verdict is Verdict.FAILED:
        verdict = f"**{verdict}**"
    because = "" if outcome.verdict is Verdict.PASSED else outcome.decisive.reason
    cells = (verdict, first.level, f"[{first.id}]({first.source})", first.statement, because)
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
