"""The model server's own metrics conform to the model server protocol, and move with its work.

A request picker and an autoscaler read three gauges of each engine: who runs, who waits, how full
the cache is. One that is missing, or that stands still, does not stop them: they then send and
scale by a constant. A page of JSON with status 200 looks healthy to a scraper and tells it nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fixtures.dialects import Spoken
from fixtures.within_engines import PLAIN, Page, WithinEngines, at_once
from hotfire import Evidence, Level, Scope, TargetProfile, metrics, requirement
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.metrics import aliases

pytestmark = requirement(
    "OBS-009",
    Level.MUST,
    __doc__,
    source="https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/main/docs/proposals/003-model-server-protocol/README.md",
    scope=Scope.SMOKE,
)

# As a table of the engine's kind calls them.
RUNNING, WAITING, CACHE = "running", "waiting", "kv_use"
GAUGES = (RUNNING, WAITING, CACHE)
WITH_ADAPTERS = "--enable-lora"
TEXT_FORMATS = ("text/plain", "application/openmetrics-text")
# More at once than an engine runs make somebody wait.
BEYOND = 8
TOKENS = 200
# As long as a small engine may take for all of them.
WATCHED_SECONDS = 120.0
# Fewer samples of a generation would prove no standstill.
SAMPLES = 5
# The prompt fills whole blocks of a cache: some engines count those, and nothing of the answer.
# Asks the engine it runs beside, and reads its page over and over meanwhile.
WATCH = (
    PLAIN
    + """
import http.client, json, sys, threading, time, urllib.parse
url, page_url, model, count, tokens, *names = sys.argv[1:]
host, count = urllib.parse.urlsplit(url).netloc, int(count)
body = json.dumps({"model": model, "prompt": "Tell me everything. " * 16,
                   "max_tokens": int(tokens), "ignore_eos": True})
open_now, problems, lock = [0], [], threading.Lock()
def sample():
    with urllib.request.urlopen(page_url, timeout=10) as page:
        lines = page.read(4 << 20).decode().splitlines()
    found = {}
    for name in names:
        own = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
        found[name] = sum(float(line.rpartition(" ")[2]) for line in own) if own else None
    return found
def generate():
    engine = http.client.HTTPConnection(host, timeout=60)
    try:
        engine.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        with lock:
            open_now[0] += 1
        status = engine.getresponse()
        with lock:
            open_now[0] -= 1
        if status.status != 200:
            problems.append(f"HTTP {status.status}")
        status.read()
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
def watched(requests):
    threads = [threading.Thread(target=generate, daemon=True) for _ in range(requests)]
    for thread in threads:
        thread.start()
    samples = []
    while any(thread.is_alive() for thread in threads):
        before = open_now[0]
        found = sample()
        samples.append(found | {"open": min(before, open_now[0])})
        time.sleep(0.01)
    return samples
def calm(idle):
    end, found = time.monotonic() + 5, sample()
    while found != idle and time.monotonic() < end:
        time.sleep(0.05)
        found = sample()
    return found
idle = [sample() for _ in range(5)]
one = watched(1)
after_one = calm(idle[-1])
many = watched(count)
print(json.dumps({"idle": idle, "one": one, "many": many, "after": [after_one, calm(idle[-1])],
                  "problems": problems}))
"""
)

Sample = Mapping[str, float | None]


def nonconformity(page: Page, wanted: Sequence[str]) -> str:
    """Return what keeps a scraper from reading these gauges; empty if nothing does."""
    if not page.content_type.startswith(TEXT_FORMATS):
        return f"serves {page.content_type or 'no content type'}, which a scraper reads nothing of"
    try:
        scrape = metrics.parse(page.text)
    except HarnessError as error:
        return str(error)
    for name in wanted:
        if not (series := scrape.series(name)):
            return f"has no {name}"
        if not re.search(rf"^# TYPE {series[0].name} gauge\s*$", page.text, re.MULTILINE):
            return f"has {series[0].name}, and it is no gauge"
    return ""


def gauges(spoken: Spoken) -> dict[str, str]:
    """Return the engines' name of each gauge."""
    return {what: spoken.name(what) for what in GAUGES}


def adapters(spoken: Spoken, command_lines: str) -> list[str]:
    """Return the series that tells of adapters, where an engine was started with some."""
    told = spoken.dialect.adapters
    return [told.name] if told and WITH_ADAPTERS in command_lines else []


def names_in(page: Page, gauges: Mapping[str, str]) -> dict[str, str]:
    """Return under which name the page has each gauge."""
    there = metrics.parse(page.text).names
    return {
        what: next(one for one in (name, *aliases(name)) if one in there)
        for what, name in gauges.items()
    }


def peak(samples: Sequence[Sample], name: str) -> float:
    return max((each[name] or 0.0 for each in samples), default=0.0)


def watched(
    within: WithinEngines, pod: Pod, model: str, names: Mapping[str, str], count: int
) -> dict[str, list[Any]]:
    """Return the samples of an engine that is idle, has one request, many, and none again.

    Raises:
        HarnessError: requests were not answered, or it was busy while we asked nothing.
    """
    urls = (within.local_url, within.page_url)
    words = (*urls, model, str(count), str(TOKENS), *names.values())
    found: dict[str, list[Any]] = json.loads(
        within.run(pod, WATCH, *words, within_seconds=WATCHED_SECONDS)
    )
    if found["problems"]:
        raise HarnessError(f"{pod.name}: a request to be watched failed: {found['problems'][0]}")
    # Negative control: what moves by itself would be taken for an answer to our requests.
    if any(each != found["idle"][0] for each in found["idle"]):
        raise HarnessError(f"{pod.name}: its gauges move while we ask nothing: {found['idle']}")
    return found


def standstill(found: Mapping[str, Sequence[Sample]], names: Mapping[str, str], count: int) -> str:
    """Return which gauge did not move; empty if each did.

    Raises:
        HarnessError: there was nothing that should have moved it.
    """
    idle, one, many = found["idle"][0], found["one"], found["many"]
    if len(one) < SAMPLES:
        raise HarnessError(f"a request of {TOKENS} tokens was over after {len(one)} samples")
    for name in (names[RUNNING], names[CACHE]):
        if peak(one, name) <= (idle[name] or 0.0):
            return f"{name} stays at {idle[name]} while a request runs"
    if not peak(many, names[WAITING]):
        pressed = [each for each in many if each["open"] == count]
        ran = peak(many, names[RUNNING])
        if len(pressed) < SAMPLES or ran >= count:
            raise HarnessError(
                f"{count} requests at once made nobody wait; name --max-num-seqs in the arguments"
            )
        return f"{names[WAITING]} stays at 0 while {count} requests are open and {ran:g} run"
    for after in found["after"]:
        if moved := [name for name in names.values() if after[name] != idle[name]]:
            return (
                f"{moved[0]} says {after[moved[0]]} after the last answer, before {idle[moved[0]]}"
            )
    return ""


def test_each_gauge_is_there_and_moves(
    profile: TargetProfile, within_engines: WithinEngines, spoken: Spoken, evidence: Evidence
) -> None:
    named = gauges(spoken)
    for pod in within_engines.serving():
        page, started_with = within_engines.page(pod), within_engines.command_lines(pod)
        wanted = [*named.values(), *adapters(spoken, started_with)]
        problem = nonconformity(page, wanted)
        evidence.record(
            f"page_of_{pod.name}", problem or f"{page.content_type}, {len(wanted)} gauges"
        )
        assert not problem, f"the page of {pod.name} {problem}"

        count, names = at_once(started_with) + BEYOND, names_in(page, named)
        found = watched(within_engines, pod, profile.engine.model, names, count)
        peaks = {
            when: {name: peak(found[when], name) for name in names.values()}
            for when in ("idle", "one", "many", "after")
        }
        evidence.record(f"gauges_of_{pod.name}", peaks | {"requests_of_many": count})
        assert not (why := standstill(found, names, count)), f"{pod.name}: {why}"
