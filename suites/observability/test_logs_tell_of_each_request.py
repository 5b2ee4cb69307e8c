"""Logs name model, version, tokens, latency and outcome of each request, and the time of loading.

When a user complains of one answer, the metrics have long forgotten it. What products call these
things differs, so a field is known by what it says: of requests of many lengths only one field
tells the number of tokens each time.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures.data_plane import LOG_LINES, DataPlane, logs_of
from fixtures.dialects import Spoken
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError
from hotfire.waiting import eventually

pytestmark = requirement(
    "OBS-007",
    Level.SHOULD,
    __doc__,
    source="https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/",
    features={"request-logs"},
)

REQUESTS, CLIENTS = 100, 8
# Lengths in turns without a common measure: that two fields agree each time is no accident.
PROMPT_WORDS, TOKENS = (3, 11, 7, 19, 5), (5, 40, 17, 90, 64, 9, 29)
# Of those that their clients give up.
GIVEN_UP, LONG_TOKENS, PATIENCE_SECONDS = 4, 1000, 0.4
# Proxies write what they log in batches, Envoy every ten seconds.
LOGGED_WITHIN_SECONDS = 25.0
UNITS = (1.0, 1e-3, 1e-6, 1e-9)
LATE_SECONDS, ON_TIME_SHARE = 0.05, 0.9
"""A client may take twice the time that is logged, and this longer; of so many it may not."""
MOST_OUTCOMES = 2
VERSION_LABELS = ("app.kubernetes.io/version", "version")

Field = tuple[str, object]
"""A field of a line and what it says."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as its client knows it."""

    id_: str
    reply: Reply

    @property
    def names(self) -> set[str]:
        """What a log may call it: the id it was sent with, in either header, or the one given."""
        given = self.reply.headers.get("x-request-id", self.id_)
        return {self.id_, f"hotfire/{self.id_}", given}

    def tokens(self, kind: str) -> object:
        return (self.reply.usage or {}).get(f"{kind}_tokens")

    def takes(self, seconds: float) -> bool:
        """Return whether a server may say that it took so long."""
        mine = self.reply.seconds
        return mine / 2 - LATE_SECONDS <= seconds <= mine + LATE_SECONDS


@dataclass(frozen=True, slots=True)
class Told:
    """A request, and what the lines about it say."""

    asked: Asked
    places: list[str]
    """Where there is a line, once for each."""
    fields: list[Field]

    def that(self, says: Callable[[Asked, object], bool]) -> set[str]:
        """Return the fields that say something of it."""
        return {name for name, value in self.fields if says(self.asked, value)}

    def times(self) -> set[str]:
        """Return the fields that may be its latency, each with a unit."""
        return {
            f"{name} in {unit:g} s"
            for name, value in self.fields
            for unit in UNITS
            if isinstance(value, float | int) and self.asked.takes(value * unit)
        }


def ask(endpoint: Endpoint, spoken: Spoken, turn: int, tokens: int, *, stream: bool) -> Asked:
    id_ = str(uuid.uuid4())
    # Whoever gives requests ids of its own still tells who asked.
    headers = {"x-request-id": id_, "user-agent": f"hotfire/{id_}"}
    words = " ".join(["word"] * PROMPT_WORDS[turn % len(PROMPT_WORDS)])
    length: dict[str, Any] = dict(spoken.dialect.fixed_length)
    reply = endpoint.chat(words, max_tokens=tokens, stream=stream, headers=headers, **length)
    return Asked(id_, reply)


def ask_all(endpoint: Endpoint, profile: TargetProfile, spoken: Spoken) -> tuple[list[Asked], ...]:
    """Return requests that were answered, every other one as a stream, and some given up.

    Raises:
        HarnessError: they were not.
    """

    def one(turn: int) -> Asked:
        tokens = TOKENS[turn % len(TOKENS)]
        return ask(endpoint, spoken, turn, tokens, stream=bool(turn % 2))

    with ThreadPoolExecutor(CLIENTS) as pool:
        whole = list(pool.map(one, range(REQUESTS)))
    with Endpoint.of(profile, deadline_seconds=PATIENCE_SECONDS) as hasty:
        cut = [ask(hasty, spoken, turn, LONG_TOKENS, stream=True) for turn in range(GIVEN_UP)]
    broken = [each.reply.why for each in whole if not (each.reply.ok and each.reply.usage)]
    if broken or any(each.reply.ok for each in cut):
        raise HarnessError(
            f"{len(broken)} of {REQUESTS} answers broke or do not tell their usage: {broken[:1]};"
            f" {LONG_TOKENS} tokens should take longer than {PATIENCE_SECONDS:g} s"
        )
    return whole, cut


def fields_of(document: Mapping[str, object]) -> Iterator[Field]:
    """Yield the fields of a line, those within others too."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from fields_of(value)
        else:
            yield name, value


def documents(text: str) -> Iterator[Mapping[str, object]]:
    """Yield the lines of a log that hold a JSON object, be it behind a time and a level."""
    for line in text.splitlines():
        try:
            document = json.loads(line[line.find("{") :])
        except ValueError:
            continue
        if isinstance(document, dict):
            yield document


def joined(asked: Sequence[Asked], logs: Iterable[tuple[str, str]]) -> list[Told]:
    """Return each request with what all lines that name it say."""
    told = [Told(each, [], []) for each in asked]
    by_name: dict[object, Told] = {name: one for one in told for name in one.asked.names}
    for place, text in logs:
        for document in documents(text):
            fields = list(fields_of(document))
            named = [value for _, value in fields if isinstance(value, str) and value in by_name]
            if named:
                by_name[named[0]].places.append(place)
                by_name[named[0]].fields.extend(fields)
    return told


def common(found: Iterable[set[str]], *, share: float = 1.0) -> list[str]:
    """Return what is in so large a share of these sets."""
    sets = list(found)
    counted = Counter(name for each in sets for name in each)
    return sorted(name for name, count in counted.items() if count >= share * len(sets))


def outcomes(whole: Sequence[Told], cut: Sequence[Told]) -> list[str]:
    """Return the fields that tell what was answered from what was given up."""

    def said(some: Sequence[Told], name: str) -> set[str]:
        return {str(value) for one in some for field, value in one.fields if field == name}

    names = common({name for name, _ in one.fields} for one in [*whole, *cut])
    return [
        name
        for name in names
        if len(said(whole, name)) <= MOST_OUTCOMES and not said(whole, name) & said(cut, name)
    ]


def versions(pods: Iterable[Document]) -> set[str]:
    """Return by what the versions that run may be called."""
    found: set[str] = set()
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        images = [one["image"] for one in pod["spec"]["containers"]]
        found |= {labels[name] for name in VERSION_LABELS if name in labels}
        found |= {*images, *(image.rpartition(":")[2] for image in images)}
    return found


@dataclass(frozen=True, slots=True)
class Lines:
    """What the logs tell of requests that were answered, that were given up, and of none."""

    whole: list[Told]
    cut: list[Told]
    nobodys: Told

    @property
    def sent(self) -> list[Told]:
        return [*self.whole, *self.cut]

    @property
    def untold(self) -> int:
        return sum(not one.places for one in self.sent)

    @property
    def repeated(self) -> int:
        """How many are told of twice in one place."""
        return sum(len(set(one.places)) < len(one.places) for one in self.sent)

    def fields(self, models: set[str], known_versions: set[str]) -> dict[str, list[str]]:
        """Return by what is to be told the fields that tell it of every request."""

        def version(asked: Asked, value: object) -> bool:
            return isinstance(value, str) and value in {*known_versions, asked.reply.served_by}

        says: dict[str, Callable[[Asked, object], bool]] = {
            "model": lambda _, value: isinstance(value, str) and value in models,
            "version": version,
            "prompt tokens": lambda asked, value: value == asked.tokens("prompt"),
            "completion tokens": lambda asked, value: value == asked.tokens("completion"),
        }
        found = {
            what: common(one.that(right) for one in self.whole) for what, right in says.items()
        }
        latency = common((one.times() for one in self.whole), share=ON_TIME_SHARE)
        return {**found, "latency": latency, "outcome": outcomes(self.whole, self.cut)}


@pytest.fixture
def pods(cluster: Cluster, profile: TargetProfile, data_plane: DataPlane) -> list[Document]:
    """Everything that requests pass."""
    return [*cluster.list("Pod", profile.namespace), *data_plane.proxies()]


@pytest.fixture
def lines(
    cluster: Cluster,
    endpoint: Endpoint,
    profile: TargetProfile,
    spoken: Spoken,
    pods: list[Document],
) -> Lines:
    """Ask, and look until every request is told of, or should be."""
    whole, cut = ask_all(endpoint, profile, spoken)
    nobody = Asked(str(uuid.uuid4()), Reply())

    def look() -> Lines:
        told = joined([*whole, *cut, nobody], logs_of(cluster, pods))
        return Lines(told[:REQUESTS], told[REQUESTS:-1], told[-1])

    looks = [look()]

    def told() -> bool:
        looks.append(look())
        return not looks[-1].untold

    eventually(told, within_seconds=LOGGED_WITHIN_SECONDS, poll_seconds=2.0)
    return looks[-1]


def test_each_request_is_told_once_with_all_that_matters(
    lines: Lines, pods: list[Document], profile: TargetProfile, evidence: Evidence
) -> None:
    found = lines.fields({profile.engine.model, *profile.engine.aliases}, versions(pods))
    sent = len(lines.sent)
    evidence.record("requests", sent)
    evidence.record("places", sorted({place for one in lines.sent for place in one.places}))
    evidence.record("untold", lines.untold)
    evidence.record("repeated", lines.repeated)
    evidence.record("fields", found)
    # Negative control: of a request that nobody sent nothing is told.
    if lines.nobodys.places:
        raise HarnessError(f"{lines.nobodys.places[0]} tells of a request that nobody sent")

    assert not lines.untold, f"of {lines.untold} of {sent} requests no line of any log tells"
    assert not lines.repeated, f"{lines.repeated} of {sent} requests are told of twice in one log"
    missing = [what for what, fields in found.items() if not fields]
    assert not missing, f"no field of the lines tells the {', '.join(missing)} of every request"


def load_seconds(text: str, pattern: str) -> float | None:
    """Return how long loading took, by what a log says of it."""
    found = re.search(pattern, text)
    return float(found[1]) if found else None


def test_start_up_logs_tell_the_time_of_loading(
    cluster: Cluster,
    profile: TargetProfile,
    spoken: Spoken,
    data_plane: DataPlane,
    evidence: Evidence,
) -> None:
    pattern = spoken.dialect.load_seconds
    if not pattern:
        raise HarnessError(f"how engines of kind {spoken.kind} log their loading is not known here")
    own = f"/{profile.engine.container}"
    logs = {place: text for place, text in logs_of(cluster, data_plane.engines()) if own in place}
    told = {place: load_seconds(text, pattern) for place, text in logs.items()}
    evidence.record("load_seconds", told)
    missing = [place for place, seconds in told.items() if seconds is None]
    cut = [place for place in missing if len(logs[place].splitlines()) >= LOG_LINES]
    if cut or not logs:
        raise HarnessError(f"no log of an engine, or none that reaches back to its start: {cut}")
    # Negative control: who loads no model does not say so.
    for place, text in logs_of(cluster, data_plane.proxies()):
        if load_seconds(text, pattern) is not None:
            raise HarnessError(f"{place} tells of loading too, and has nothing to load")

    assert not missing, f"{', '.join(missing)} do not tell how long loading took"
