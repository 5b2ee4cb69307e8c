"""How a report says things: numbers with their unit, names in words, no places of this machine."""

import math
import re
from collections.abc import Iterable, Sequence

from hotfire.outcome import Outcome, qualifier
from hotfire.requirement import Level
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.verdict import Conformance, Verdict

_DIGITS = 3
_UNITS = ("_seconds", "_bytes", "_per_second")
_UPPER = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "end to end", "cpu": "CPU"}
_HOME = re.compile(r"(?<![\w.~/])/(?:root|home/[^/\s]+|Users/[^/\s]+)(?=/)")
_WORD = re.compile(r"\S+")
_PATH = re.compile(r"(?<![\w.~])/")
_OWN_TROUBLE = re.compile(r"^((?:setup|teardown): )?(?:HarnessError|InstrumentError): ")
_TITLES = {
    Conformance.CONFORMANT: "is conformant",
    Conformance.NONCONFORMANT: "is not conformant",
    Conformance.INCONCLUSIVE: "is not proven conformant",
    None: "has not been judged",
}


def figure(name: str, value: object) -> str:
    """Return a figure with its unit, which its name ends in: 32.3 ms, 1.25 %, 1,369, yes."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if name.endswith("_seconds"):
        return seconds(value)
    if name.endswith("_ratio"):
        return f"{number(100 * value)} %"
    return number(value)


def seconds(value: float) -> str:
    """Return a time as people say it: 130 µs, 32.3 ms, 1.46 s, 4 min 23 s."""
    size = abs(value)
    if not math.isfinite(value) or size >= 120:
        return _minutes(value)
    for limit, factor, unit in ((0.9995e-3, 1e6, "µs"), (0.9995, 1e3, "ms")):
        if 0 < size < limit:
            return f"{number(value * factor)} {unit}"
    return f"{number(value)} s"


def _minutes(value: float) -> str:
    if math.isinf(value):
        return "never"
    if math.isnan(value):
        return "-"
    minutes, rest = divmod(round(abs(value)), 60)
    return f"{'-' if value < 0 else ''}{minutes} min {rest} s"


def number(value: float) -> str:
    """Return three digits of a number, all of an integer, and no zeros at the end."""
    if not math.isfinite(value):
        return "∞" if math.isinf(value) else "-"
    if value == round(value) or abs(value) >= 1000:
        return f"{round(value):,}"
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def label(name: str) -> str:
    """Return a figure's name in words, without the unit that its value shows."""
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return " ".join(_UPPER.get(word, word) for word in name.split("_"))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun in the right number."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def portable(text: str, run: RunDirectory) -> str:
    """Return a text without places of the machine it was written on.

    What lies in the run directory is named relative to it, homes become ``~``.
    """
    text = text.replace(f"{run.root}/", "")
    mark = f"/{run.info().run_id}/"
    if mark in text:
        text = _WORD.sub(lambda word: _below(word[0], mark), text)
    return _HOME.sub("~", text)


def _below(word: str, mark: str) -> str:
    """Return a word without what leads to the run directory, wherever that once lay."""
    kept, at = [], 0
    while (end := word.find(mark, at)) >= 0:
        begin = _PATH.search(word, at, end)
        kept.append(word[at : begin.start() if begin else end + len(mark)])
        at = end + len(mark)
    return "".join([*kept, word[at:]])


def because(outcome: Outcome) -> str:
    """Return the reason of the case that decided."""
    return plain(outcome.decisive.reason)


def plain(reason: str) -> str:
    """Return a reason on one line, without the class of our own exceptions."""
    return " ".join(_OWN_TROUBLE.sub(r"\1", reason).split())


def title(info: RunInfo, found: Sequence[Outcome]) -> str:
    """Return what the run amounts to, for somebody who reads one line."""
    return f"{info.target_name} {_TITLES[info.conformance]}{qualifier(info, found)}"


def lead(info: RunInfo, found: Sequence[Outcome]) -> str:
    """Return what that means, and what the faults cost users."""
    if not found:
        return "No requirement was judged."
    return " ".join([*_meaning(info, found), *_harm(found)])


def _meaning(info: RunInfo, found: Sequence[Outcome]) -> Iterable[str]:
    troubles = [o for o in found if o.is_run]
    found = [o for o in found if not o.is_run]
    musts = [o for o in found if o.first.level is Level.MUST]
    applicable = sum(o.verdict is not Verdict.NOT_APPLICABLE for o in musts)
    broken = _ids(musts, Verdict.FAILED)
    undecided = _ids(musts, Verdict.INCONCLUSIVE)
    if info.finished_at is None:
        yield "The run has not come to its end."
    for case in (case for outcome in troubles for case in outcome.cases):
        yield f"The run itself was in trouble ({case.case}): {plain(case.reason)}."
    if broken:
        yield f"{len(broken)} of {counted(applicable, 'requirement')} broken: {', '.join(broken)}."
    if undecided:
        none = "" if broken else "No requirement is known to be broken, but "
        yield f"{none}{len(undecided)} of {applicable} could not be decided."
    if info.conformance is Conformance.CONFORMANT:
        yield f"Each of the {counted(applicable, 'requirement')} that apply is met, with evidence."
    if missed := _ids([o for o in found if o.first.level is not Level.MUST], Verdict.FAILED):
        yield f"Recommendations not met: {', '.join(missed)}."


def _ids(found: Iterable[Outcome], verdict: Verdict) -> list[str]:
    return [outcome.first.id for outcome in found if outcome.verdict is verdict]


def _harm(found: Iterable[Outcome]) -> Iterable[str]:
    figures = [case.figures for outcome in found for case in outcome.cases if case.kind == "fault"]
    hit = [each for each in figures if each.get("took_effect_seconds") is not None]
    lost = [each.get("lost_requests") for each in hit]
    touched = [each.get("requests_touched") for each in hit]
    if not hit:
        return
    total, of = (sum(n for n in each if isinstance(n, int)) for each in (lost, touched))
    cost = f"no request of {of:,}" if not total else f"{total:,} of {of:,} requests"
    yield f"{counted(len(hit), 'fault')} took effect; users lost {cost}."


def tally(found: Iterable[Outcome]) -> list[tuple[int, str, str]]:
    """Return count, word and verdict of each group of requirements, worst first."""
    rows = [outcome for outcome in found if not outcome.is_run]
    left_out = sum(outcome.skipped for outcome in rows)
    groups = [
        (sum(o.verdict is verdict and not o.skipped for o in rows), word, verdict.value)
        for verdict, word in (
            (Verdict.FAILED, "failed"),
            (Verdict.INCONCLUSIVE, "inconclusive"),
            (Verdict.PASSED, "passed"),
            (Verdict.NOT_APPLICABLE, "not applicable"),
        )
    ]
    return [*groups, (left_out, "left out", "left-out")]
