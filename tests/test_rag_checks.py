"""Each check of a RAG application passes beside a sound one, and fails beside its broken twin.

Its parts are processes of this machine, their pods those of an API server in miniature: what a lab
adds are Services, probes and a gateway.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.breaks import Breaks
from fixtures.changes import Changes
from fixtures.dialects import Spoken
from fixtures.pod_pages import Pages
from fixtures.rag import Application, Takeaway
from fixtures.rag_cache import Cached, questions
from fixtures.rag_hops import Hops
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.undo import UndoJournal
from hotfire.cluster import Estate
from hotfire.engine.rag import api as rag_api
from hotfire.engine.rag import response_cache
from hotfire.engine.rag.response_cache import HITS
from hotfire.errors import HarnessError
from hotfire.rag import Hop, Rag
from hotfire.waiting import until
from hotfire.waits import Waits
from suites.rag import test_a_cache_miss_storm_is_bounded_and_shows_as_cost as storm
from suites.rag import test_a_slow_retriever_is_visible_as_such as slow_retriever
from suites.rag import test_loss_of_retrieval_ends_in_declared_degradation as loss
from suites.rag import test_parts_fail_and_scale_independently as independence
from suites.rag import test_sessions_survive_the_loss_of_an_api_pod as sessions
from tests.chaos.conftest import address, api, cluster, profile, world
from tests.chaos.platform import SYSTEM
from tests.chaos.test_changes import estate, held
from tests.defects.a_cache_miss_storm_is_bounded_and_shows_as_cost import each_by_itself
from tests.defects.a_slow_retriever_is_visible_as_such import measure_from_the_start
from tests.fake_api import FakeApi
from tests.overlays import Change, rewritten
from tests.rag import CACHE, FACTS
from tests.rag_machine import API, CONTEXT_SECONDS, PARTS, Agent, Machine, machine, told
from tests.test_rag_application import NOTHING

__all__ = ["address", "api", "cluster", "estate", "held", "profile", "world"]
SESSION = "X-Session-Id"
WITHIN_SECONDS = CONTEXT_SECONDS + 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the checks ask for."""

    application: Application
    takeaway: Takeaway
    stack: Stack
    evidence: Evidence
    endpoint: Endpoint


Laid = Callable[..., AbstractContextManager[Ground]]


@pytest.fixture
def laid(world: World, api: FakeApi, estate: Estate, held: RunLease, tmp_path: Path) -> Laid:
    """Have the ground, and an application on it: ``laid(further={...}, CONTEXT_SECONDS="0")``."""

    @contextmanager
    def lay(
        *, further: Mapping[str, str] = NOTHING, source: str = "", **environment: str
    ) -> Iterator[Ground]:
        with machine(api, further=further, source=source, **environment) as found:
            told = with_application(world, found)
            yield ground(told, found, estate, held, tmp_path)

    return lay


def with_application(world: World, found: Machine) -> World:
    """Return a world whose target file tells of the application."""
    hops = {
        hop: {"name": "rag_hop_seconds", "labels": {"hop": hop}} for hop in ("retriever", "engine")
    }
    declared = Rag.model_validate(
        {
            "gateway": {"url": found.url(API), "base_path": "/rag"},
            "parts": {part: {"app": part} for part in PARTS},
            "facts": FACTS,
            "degradation": {"header": "X-Rag-Degraded"},
            "context_seconds": CONTEXT_SECONDS,
            "session_header": SESSION,
            "metrics": {"hops": hops},
            "cache": CACHE,
        }
    )
    profile = world.profile.model_copy(update={"rag": declared, "waits": Waits()})
    plain = World(cluster=world.cluster, agent=world.agent, profile=profile)
    return World(cluster=world.cluster, agent=Agent(plain, found), profile=profile)


def ground(world: World, found: Machine, estate: Estate, held: RunLease, folder: Path) -> Ground:
    rag, cluster = world.profile.rag, world.cluster
    assert rag is not None
    evidence = Evidence(folder)
    app = Application(rag=rag, profile=world.profile, cluster=cluster, record=evidence.exchange)
    journal = UndoJournal(folder / "undo.jsonl", cluster, SYSTEM)
    breaks = Breaks(world=world, journal=journal, held=held, estate=estate, case="RAG-002")
    changes = Changes(world=world, journal=journal, held=held, estate=estate, case="RAG-002")
    for part in PARTS:
        app.require_whole(part, count=1)
    app.usual(1)
    return Ground(
        application=app,
        takeaway=Takeaway(application=app, breaks=breaks, changes=changes),
        stack=Stack(cluster, world.profile),
        evidence=evidence,
        endpoint=Endpoint(found.engine.url, "tiny"),
    )


def lose(on: Ground, part: loss.Lost, how: loss.How) -> None:
    loss.test_answers_say_that_they_lack_their_context(
        on.application, on.takeaway, WITHIN_SECONDS, on.evidence, part, how
    )


@pytest.mark.parametrize("part", ["retriever", "vector-store"])
@pytest.mark.parametrize("how", ["standing", "away"])
def test_loss_passes_where_answers_say_so(laid: Laid, part: loss.Lost, how: loss.How) -> None:
    with laid() as on:
        lose(on, part, how)


def test_loss_fails_where_a_client_has_no_timeout(laid: Laid) -> None:
    with laid(CONTEXT_SECONDS="0") as on, pytest.raises(AssertionError, match="not ended"):
        lose(on, "retriever", "standing")


def make_slow(on: Ground, hop: Hop) -> None:
    """Try a slow hop, again where chance was too great beside it, as the check's reason says."""
    declared = on.application.rag.metrics
    assert declared is not None
    hops = Hops(application=on.application, takeaway=on.takeaway, stack=on.stack, declared=declared)
    cases = {
        "retriever": slow_retriever.test_what_a_slow_retriever_adds_is_told_of_it,
        "engine": slow_retriever.test_what_a_slow_engine_adds_is_told_of_it,
    }

    def decided() -> bool:
        try:
            cases[hop](hops, hops.spent(), Evidence(on.evidence.directory))
        except HarnessError:
            return False
        return True

    until(decided, within_seconds=90, what=f"a verdict on a slow {hop}")


@pytest.mark.parametrize("hop", ["retriever", "engine"])
def test_slow_hops_pass_where_each_is_told_apart(laid: Laid, hop: Hop) -> None:
    with laid(CONTEXT_SECONDS="5") as on:
        make_slow(on, hop)


def test_slow_hops_fail_where_each_is_measured_from_the_start(laid: Laid) -> None:
    program = {"data": {"api.py": Path(rag_api.__file__).read_text(encoding="utf-8")}}
    measure_from_the_start(program)
    source = program["data"]["api.py"]

    with (
        laid(source=source, CONTEXT_SECONDS="5") as on,
        pytest.raises(AssertionError, match="told of the engine"),
    ):
        make_slow(on, "retriever")


def with_cache(change: Change) -> str:
    """Return the API's program with another response cache than its own."""
    name = response_cache.__name__
    program = {"data": {"response_cache.py": Path(response_cache.__file__).read_text()}}
    change(program)
    text = program["data"]["response_cache.py"]
    own = Path(rag_api.__file__).read_text(encoding="utf-8")
    return (
        f"import sys, types\nother = types.ModuleType({name!r})\n"
        f"exec({text!r}, other.__dict__)\nsys.modules[{name!r}] = other\n{own}"
    )


def store(on: Ground) -> None:
    """Have many ask the same at once, and many another question each."""
    app = on.application
    assert app.rag.cache is not None
    spoken = Spoken(app.profile)

    def engines() -> Pages:
        return {"engine": spoken.read("engine", told(on.endpoint.base_url, "/metrics"))}

    cached = Cached(application=app, engines=engines, spoken=spoken, declared=app.rag.cache)
    for _ in range(2):
        cached.ask(["What was asked before?"])
    cold = cached.cost(questions(cached.at_once), max_tokens=storm.LONG_TOKENS)
    storm.test_identical_misses_are_one_for_the_engines(cached, cold, on.evidence)
    storm.test_a_storm_shows_in_hit_rate_and_cost_and_stays_in_budget(
        cached, app.profile, Evidence(on.evidence.directory)
    )


def test_a_storm_passes_where_misses_coalesce_and_are_told(laid: Laid) -> None:
    with laid() as on:
        store(on)


def test_a_storm_fails_where_each_miss_is_one_of_the_engines(laid: Laid) -> None:
    with (
        laid(source=with_cache(each_by_itself)) as on,
        pytest.raises(AssertionError, match="who ask it at once"),
    ):
        store(on)


def test_a_storm_fails_where_no_hit_is_told(laid: Laid) -> None:
    silent = with_cache(rewritten("response_cache.py", HITS, "rag_answers_total"))

    with laid(source=silent) as on, pytest.raises(AssertionError, match="tells no hits"):
        store(on)


def recall(on: Ground) -> None:
    sessions.test_the_next_turn_has_the_history(
        on.application, on.application.cluster, SESSION, on.evidence
    )


def test_sessions_pass_where_they_are_kept_outside(laid: Laid) -> None:
    with laid() as on:
        recall(on)


def test_sessions_fail_where_they_are_kept_in_memory(laid: Laid) -> None:
    with laid(SESSIONS="") as on, pytest.raises(AssertionError, match="has forgotten its name"):
        recall(on)


def take_in_turn(on: Ground) -> None:
    its = independence.Ground(
        application=on.application, takeaway=on.takeaway, stack=on.stack, endpoint=on.endpoint
    )
    independence.test_nothing_else_suffers_when_a_part_grows_or_goes(its, on.evidence)


def test_parts_pass_where_each_falls_alone(laid: Laid) -> None:
    with laid() as on:
        take_in_turn(on)


def test_parts_fail_where_one_is_ready_only_with_another(laid: Laid) -> None:
    with (
        laid(further={API: "vector-store"}) as on,
        pytest.raises(AssertionError, match=r"the vector-store: api-.* is not Ready any more"),
    ):
        take_in_turn(on)
