"""Structured output is valid at the declared rate.

Programs read these answers; one that is no JSON, or lacks a field, stops an order or books it
wrongly, and a rate of one in a hundred is met every minute. Three hundred bound answers, none of
them invalid, bound the share of invalid ones at one percent.
"""

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hotfire import Endpoint, Evidence, Level, Reply, requirement
from hotfire.errors import HarnessError
from hotfire.measure.counts import upper_bound

pytestmark = requirement(
    "API-003",
    Level.MUST,
    __doc__,
    source="https://platform.openai.com/docs/guides/structured-outputs",
    features={"structured-output"},
)

ANSWERS, CLIENTS = 300, 4
FREE_ANSWERS = 30
MAX_TOKENS = 96
"""The longest valid answer has some forty; one that does not end in time is invalid too."""
VERDICTS = ["passed", "failed", "inconclusive"]
LOWEST, HIGHEST = 10, 99
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": VERDICTS},
        "score": {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST},
        "final": {"type": "boolean"},
    },
    "required": ["verdict", "score", "final"],
    "additionalProperties": False,
}
BOUND = {
    "type": "json_schema",
    "json_schema": {"name": "judgement", "schema": SCHEMA, "strict": True},
}


def fault(reply: Reply) -> str:
    """Return what is wrong with an answer by the schema; empty: nothing."""
    if not reply.ok:
        return "no answer"
    try:
        document = json.loads(reply.text)
    except ValueError:
        return "no JSON"
    if not isinstance(document, dict) or document.keys() != SCHEMA["properties"].keys():
        return "other fields"
    score = document["score"]
    right = (
        document["verdict"] in VERDICTS,
        type(score) is int and LOWEST <= score <= HIGHEST,
        type(document["final"]) is bool,
    )
    return "" if all(right) else "a value out of bounds"


def ask(endpoint: Endpoint, turn: int, form: Mapping[str, Any]) -> Reply:
    """Ask for a judgement, every other time streamed."""
    prompt = f"Judge run {turn}: answer in JSON with verdict, score and final."
    return endpoint.chat(
        prompt, max_tokens=MAX_TOKENS, stream=bool(turn % 2), fresh=turn % 3 == 0, **form
    )


def faults(endpoint: Endpoint, count: int, form: Mapping[str, Any]) -> Counter[str]:
    """Return how often each fault was found among so many answers."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = pool.map(lambda turn: ask(endpoint, turn, form), range(count))
        return Counter(found for reply in replies if (found := fault(reply)))


def test_bound_answers_are_valid_and_free_ones_are_not(
    endpoint: Endpoint, evidence: Evidence
) -> None:
    invalid = faults(endpoint, ANSWERS, {"response_format": BOUND})
    evidence.record("answers", ANSWERS)
    evidence.record("invalid", invalid)
    evidence.record("invalid_at_most_ratio", round(upper_bound(invalid.total(), ANSWERS), 4))

    assert not invalid, f"{invalid.total()} of {ANSWERS} bound answers are invalid: {invalid}"
    # Negative control: a model that says such things unasked would hide that nobody binds it.
    free = faults(endpoint, FREE_ANSWERS, {})
    evidence.record("control_invalid", free)
    if not free:
        raise HarnessError(f"{FREE_ANSWERS} answers that were bound to nothing are valid as well")
