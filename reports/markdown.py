"""Markdown, for merge requests and tickets."""

import re
from collections.abc import Iterator, Sequence

from hotfire.outcome import Outcome, outcomes
from hotfire.rundir import BudgetRow, RunDirectory, RunInfo, file_name
from hotfire.shown import shown
from hotfire.verdict import Verdict
from reports._certificate import Certificate, certificate
from reports._head import head
from reports._loads import instruments, percentiles, summaries
from reports._words import because, counted, figure, label, portable

SUFFIX = ".md"
# An underscore within a word is none of its syntax, and figures' names are full of them.
_SYNTAX = re.compile(r"[\\`*\[\]|]|~~|(?<![^\W_])_|_(?![^\W_])")
_ADDRESS = re.compile(r"https?://[^\s()<>\[\]|`\\]+")


def render(run: RunDirectory) -> str:
    """Return the statement, one line per requirement, worst verdict first, and what faults cost."""
    info = run.info()
    found = outcomes(run.results())
    top = head(run, found)
    lines = [
        f"# {cell(top.headline)}",
        "",
        cell(top.lead),
        "",
        *_about(info, top.scope),
        "",
        *(_requirements(found) if top.load is None else _budgets(top.load.budgets)),
        *_faults(found),
        *_measured(run),
    ]
    if info.notes:
        lines += ["", *(f"- {cell(note)}" for note in info.notes)]
    lines += _certificate(certificate(found))
    return portable("\n".join(lines), run) + "\n"


def _about(info: RunInfo, scope: str) -> Iterator[str]:
    began = f"{info.started_at:%Y-%m-%d %H:%M} UTC"
    run_id = file_name(info.run_id)
    yield f"hotfire {cell(info.tool_version)}, run `{run_id}`, {began}."
    if scope:
        yield cell(f"Scope {scope}.")
    machine = f"{counted(info.machine.cores, 'core')}, Linux {info.machine.kernel}"
    if info.cluster is None:
        yield cell(f"Measured from {machine}.")
        return
    racks = {node.rack for node in info.cluster.nodes if node.rack}
    accelerators = sum(node.accelerators for node in info.cluster.nodes)
    parts = [counted(len(info.cluster.nodes), "node")]
    parts += [f"in {counted(len(racks), 'rack')}"] if racks else []
    parts += [f"with {counted(accelerators, 'accelerator')}"] if accelerators else []
    about = [f"Kubernetes {info.cluster.version}, {' '.join(parts)}"]
    about += [text for text in (info.cluster.engine, info.cluster.gateway) if text]
    yield cell(f"Measured from {machine}, on {'; '.join(about)}.")


def _requirements(found: list[Outcome]) -> Iterator[str]:
    yield "| Verdict | Level | Requirement | Statement | Because |"
    yield "|---|---|---|---|---|"
    yield from map(_row, found)


def _budgets(rows: Sequence[BudgetRow]) -> Iterator[str]:
    if not rows:
        return
    yield "| Verdict | Budget | Limit | Measured | Because |"
    yield "|---|---|---:|---:|---|"
    for row in rows:
        limit, measured = figure(row.name, row.limit), figure(row.name, row.measured)
        reason = "" if row.verdict is Verdict.PASSED else row.reason
        cells = (label(row.name), limit, measured, reason)
        yield f"| {' | '.join((_strong(row.verdict), *map(cell, cells)))} |"


def _strong(verdict: Verdict) -> str:
    return f"**{verdict}**" if verdict is Verdict.FAILED else str(verdict)


def _row(outcome: Outcome) -> str:
    first = outcome.first
    verdict = "left out" if outcome.skipped else _strong(outcome.verdict)
    reason = "" if outcome.verdict is Verdict.PASSED else because(outcome)
    name = first.id if outcome.is_run else linked(first.id, first.source)
    told = (name, cell(first.statement), cell(reason))
    return f"| {' | '.join((verdict, first.level, *told))} |"


def _faults(found: list[Outcome]) -> Iterator[str]:
    hit = [o for o in found if o.decisive.figures.get("took_effect_seconds") is not None]
    if not hit:
        return
    yield from ("", "| Fault | In force for | Served as before, after | Lost | Longest stall |")
    yield "|---|---:|---:|---:|---:|"
    for outcome in hit:
        names = ("fault_window_seconds", "recovered_from_clearing_seconds", "lost_requests")
        seen = outcome.decisive.figures
        cells = [figure(name, seen.get(name)) for name in (*names, "longest_stall_seconds")]
        yield f"| {' | '.join(map(cell, (outcome.first.id, *cells)))} |"


def _certificate(page: Certificate | None) -> Iterator[str]:
    if page is None:
        return
    yield from ("", f"## {page.title}", "", "| Number | Measured | Set | At least | Requirement |")
    yield "|---|---:|---:|---:|---|"
    for row in page.numbers:
        named = f"{cell(row.name)}: `{row.field}`"
        cells = map(cell, (row.measured, row.today, row.least, f"{row.id} {row.verdict}"))
        yield f"| {' | '.join((named, *cells))} |"
    if page.manifest:
        yield from ("", "```yaml", page.manifest, "```")
    yield from ("", "| Tried with what is set | Seen | Requirement |", "|---|---|---|")
    for trial in page.trials:
        cells = map(cell, (trial.what, trial.seen, f"{trial.id} {trial.verdict}"))
        yield f"| {' | '.join(cells)} |"


def _measured(run: RunDirectory) -> Iterator[str]:
    found = instruments(run)
    if not found:
        return
    yield from ("", "| Load | Instrument | Because | Its error | Engines say |")
    yield "|---|---|---|---|---|"
    for one in found:
        fitness = "fit" if one.fit else "**not fit**"
        name, *told = map(cell, (one.name, one.trouble, one.calibration, one.engines))
        yield f"| {' | '.join((name, fitness, *told))} |"
    yield from ("", "| Load | Latency | p50 | p95 | p99 |", "|---|---|---:|---:|---:|")
    for load, summary in summaries(run):
        for name, latency in summary.latencies():
            yield f"| {cell(load)} | {' | '.join([label(name), *percentiles(latency)])} |"
    yield ""
    for load, summary in summaries(run):
        wrong = [f"{label(kind)}: {count}" for kind, count in sorted(summary.deviations.items())]
        streamed = "; ".join([f"streamed {summary.streamed_told}", *wrong])
        yield f"- {cell(load)}: {cell(streamed)}"
    bench = [f"- {cell(one.name)}, vllm bench {cell(line)}" for one in found for line in one.bench]
    yield from ("", *bench) if bench else ()


def cell(text: str) -> str:
    """Return a text on one line in which nothing is Markdown, HTML or unseen."""
    line = shown(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return _SYNTAX.sub(r"\\\g<0>", line)


def linked(word: str, source: str) -> str:
    """Return a word that leads to its source, if that is an address of the web."""
    if not _ADDRESS.fullmatch(source):
        return cell(word)
    return f"[{cell(word)}]({source})"
