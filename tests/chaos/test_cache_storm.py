"""A storm of questions that no cache can answer: who is asked, and by what it is known."""

import time
from collections.abc import Mapping

import pytest

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sightings import cache_missed
from hotfire.chaos.sightings.cache_missed import CacheMissed
from hotfire.chaos.steps.more_load import MoreLoad
from hotfire.chaos.targets.rated_model import RatedModel
from hotfire.errors import HarnessError
from hotfire.rag import Rag
from tests.chaos.fake_agent import told
from tests.chaos.platform import NAMESPACE, Platform
from tests.chaos.scenes import scene
from tests.fake_api import FakeApi

WORD = CacheMissed(hit_ratio_below=0.05, requests=40, tokens_rise=1.2)
API = {"app": "api"}
PAGE = ("api-1", "8000", "/metrics")


@pytest.fixture
def ground(world: World, api: FakeApi, platform: Platform) -> World:
    """An application in front of two engines."""
    del platform
    metadata = {"name": "api-1", "namespace": NAMESPACE, "labels": API}
    api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {}})
    return with_rag(world, cache={"hits": {"name": "hits"}, "misses": {"name": "misses"}})


def with_rag(world: World, **fields: object) -> World:
    document = {"gateway": {"url": "http://app", "base_path": "/rag"}, "parts": {"api": API}}
    rag = Rag.model_validate({**document, "model": "with-documents", **fields})
    profile = world.profile.model_copy(update={"rag": rag})
    return World(cluster=world.cluster, agent=world.agent, profile=profile)


@pytest.fixture
def plan(ground: World) -> Plan:
    return RatedModel().resolve(ground, "FLT-DEP-004")


def telling(ground: World, api: FakeApi, tokens: float, **counted: float) -> World:
    """Return a world whose application and engines have counted so much, each engine half of it."""
    api.pages[PAGE] = "".join(f"{name} {count}\n" for name, count in counted.items())
    return told(ground, {"engine.metrics": {"lines": [f"vllm:prompt_tokens_total {tokens / 2}"]}})


def noted(**changes: float) -> Mapping[str, float]:
    """Return what was noted ten seconds ago, when the engines read 100 tokens a second."""
    before = {"at": time.time() - 10, "hits": 90.0, "misses": 10.0, "tokens": 5000.0}
    return {**before, "tokens_per_second": 100.0, **changes}


@pytest.mark.parametrize(
    ("tokens", "counted", "seen"),
    [
        (6500, {"hits": 91, "misses": 60}, "yes"),
        (6500, {"hits": 100, "misses": 60}, "no"),
        (6500, {"hits": 90, "misses": 40}, "no"),
        (6000, {"hits": 91, "misses": 60}, "no"),
    ],
    ids=["missed", "hits", "too-few", "no-cost"],
)
def test_a_storm_is_seen_by_misses_and_by_what_engines_read(
    ground: World,
    plan: Plan,
    api: FakeApi,
    tokens: float,
    counted: dict[str, float],
    seen: str,
) -> None:
    found = scene(telling(ground, api, tokens, **counted), plan, noted=noted())

    assert WORD.look(found).seen == seen


def test_what_was_before_is_noted_and_a_counter_that_is_not_there_yet_is_nothing(
    ground: World, plan: Plan, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_missed, "_WINDOW_SECONDS", 0.01)
    there = telling(ground, api, 500, misses=3)

    found = WORD.note(there, plan)

    assert (found["hits"], found["misses"], found["tokens"]) == (0, 3, 500)
    assert found["tokens_per_second"] == 0


def test_what_nobody_noted_or_told_is_unknown(ground: World, plan: Plan, api: FakeApi) -> None:
    there = telling(ground, api, 500, misses=3)

    with pytest.raises(HarnessError, match="nobody noted"):
        WORD.look(scene(there, plan))
    with pytest.raises(HarnessError, match=r"set rag\.cache"):
        WORD.note(with_rag(there), plan)


def test_its_load_asks_the_application_by_its_own_name(ground: World) -> None:
    step = MoreLoad(of="rag", times=0.5)

    asked = step.asked(ground).profile

    assert (asked.gateway.url, asked.gateway.base_path) == ("http://app", "/rag")
    assert asked.engine.model == "with-documents"
    assert MoreLoad().asked(ground) is ground


def test_engines_that_tell_no_prompt_tokens_prove_nothing(
    ground: World, plan: Plan, api: FakeApi
) -> None:
    telling(ground, api, 0, misses=50)
    silent = told(ground, {"engine.metrics": {"lines": []}})

    with pytest.raises(HarnessError, match="does not tell"):
        WORD.look(scene(silent, plan, noted=noted()))
