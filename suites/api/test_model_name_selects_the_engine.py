"""The request's model name selects the engine.

Where the name is ignored, whoever asks for one model is answered by another, at the other's price
and quality, and a spelling mistake in a release goes unnoticed. Each name that is served here has
to be answered by that model, whatever is asked in between, and one that is not served by 404. A
target that serves one model is held to that one; others are declared in ``engine.other_models``.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement

pytestmark = requirement(
    "API-007",
    Level.MUST,
    __doc__,
    source="https://platform.openai.com/docs/api-reference/models",
)

TIMES = 60
"""Of each name: at five percent, a canary answers three of them."""
CLIENTS = 4
UNKNOWN_TIMES = 15


@pytest.fixture
def served(profile: TargetProfile) -> dict[str, set[str]]:
    """The names under which each model may answer, by the name that is asked for."""
    engine = profile.engine
    others = {name: {name} for name in engine.other_models}
    return {engine.model: {engine.model, *engine.aliases}, **others}


def ask(endpoint: Endpoint, name: str, turn: int) -> Reply:
    """Ask for a model, in turn by chat and completion, over one connection or another."""
    asked = endpoint.complete if turn % 4 < 2 else endpoint.chat
    return asked(f"{turn}", max_tokens=1, fresh=bool(turn % 2), model=name)


def answer(reply: Reply) -> str:
    """Return the model that says it answered, or what came instead."""
    return str((reply.body or {}).get("model")) if reply.ok else reply.why


def test_each_name_is_answered_by_its_model(
    endpoint: Endpoint, served: dict[str, set[str]], evidence: Evidence
) -> None:
    names = list(served) * TIMES
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(lambda each: ask(endpoint, each[1], each[0]), enumerate(names)))
    answers = [(name, answer(reply)) for name, reply in zip(names, replies, strict=True)]
    wrong = Counter(f"{name}: {told}" for name, told in answers if told not in served[name])
    evidence.record("asked", Counter(names))
    evidence.record("wrong", wrong)

    assert not wrong, (
        f"{wrong.total()} of {len(names)} answers are another's, as {next(iter(wrong))}"
    )


def test_name_that_is_not_served_is_not_found(
    endpoint: Endpoint, served: dict[str, set[str]], evidence: Evidence
) -> None:
    near = [f"{name}{ending}" for name in served for ending in ("-2", "-instruct", "x")]
    unknown = [name for name in near if name not in served]
    answers = {
        f"{name} ({turn})": ask(endpoint, name, turn).status
        for turn in range(UNKNOWN_TIMES)
        for name in unknown
    }
    found = [f"{name}: {status}" for name, status in answers.items() if status != 404]
    evidence.record("asked", unknown)
    evidence.record("statuses", Counter(map(str, answers.values())))

    assert not found, f"{len(found)} of {len(answers)} unknown names were served, as {found[0]}"
