"""Prompts and answers appear in no log or metric label.

What users ask is theirs: logs are read by more people than any database, are copied to other
systems and kept for longer. Request logging is often switched off and the message of an error,
which quotes what it could not read, is forgotten.
"""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from fixtures.data_plane import DataPlane, logs_of
from fixtures.within_engines import WithinEngines
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import eventually

pytestmark = requirement(
    "SEC-008",
    Level.MUST,
    __doc__,
    source="https://genai.owasp.org/llmrisk/llm022025-sensitive-information-disclosure/",
)

REQUESTS = 50
CLIENTS = 8
TOKENS = 24
# The last two are refused: no answer can be that long, and there is no such model.
WAYS: tuple[dict[str, Any], ...] = (
    {"stream": False},
    {"stream": True},
    {"max_tokens": 1_000_000_000},
    {"model": "no-such-model"},
)
# Proxies write what they log in batches, Envoy every ten seconds.
LOGGED_WITHIN_SECONDS = 25.0
# Enough of an answer to be nobody else's words, and of characters that no log escapes.
PHRASE = re.compile(r"[\w ,.]{30,}", re.ASCII)


@dataclass(slots=True)
class Asked:
    """What was sent, and what came back."""

    secret: str = field(default_factory=lambda: f"zq{uuid.uuid4().hex}")
    """Begins no word of any language; in every prompt."""
    ids: list[str] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def phrases(self) -> set[str]:
        """Return what the answers say that nobody else would."""
        texts = (reply.text for reply in self.replies if reply.ok)
        return {found[0][:60] for text in texts if (found := PHRASE.search(text))}

    def forbidden(self) -> set[str]:
        return {self.secret, *self.phrases()}


@dataclass(slots=True)
class Logs:
    """What was logged, by place, and which requests are told there."""

    texts: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)


def ask(endpoint: Endpoint) -> Asked:
    """Send prompts with the secret, most of them to be answered, the others to be refused."""
    asked = Asked()

    def one(number: int) -> None:
        id_ = str(uuid.uuid4())
        # Whoever gives requests ids of its own still tells who asked.
        headers = {"x-request-id": id_, "user-agent": f"hotfire/{id_}"}
        prompt = f"{asked.secret} is my name, and my number is {number}."
        way = {"max_tokens": TOKENS, **WAYS[number % len(WAYS)]}
        asked.replies.append(endpoint.chat(prompt, headers=headers, **way))
        asked.ids.append(id_)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(REQUESTS)))
    broken = f'{{"prompt": "{asked.secret}", "model": '.encode()
    asked.replies.append(endpoint.post_raw("/v1/completions", broken))
    return asked


def logged(cluster: Cluster, namespace: str, data_plane: DataPlane, ids: list[str]) -> Logs:
    """Return every log of the engines' namespace and the proxies, once it tells all these ids.

    Or else as it is when the time for that is over.
    """
    found = Logs()

    def all_told() -> bool:
        pods = [*cluster.list("Pod", namespace), *data_plane.proxies()]
        for place, text in logs_of(cluster, pods):
            found.texts[f"the log of {place}"] = text
        found.ids = [id_ for id_ in ids if any(id_ in text for text in found.texts.values())]
        return len(found.ids) == len(ids)

    eventually(all_told, within_seconds=LOGGED_WITHIN_SECONDS, poll_seconds=2.0)
    return found


def test_no_log_and_no_label_holds_what_was_said(
    profile: TargetProfile,
    cluster: Cluster,
    endpoint: Endpoint,
    data_plane: DataPlane,
    within_engines: WithinEngines,
    evidence: Evidence,
) -> None:
    asked = ask(endpoint)
    found = logged(cluster, profile.namespace, data_plane, asked.ids)
    pages = within_engines.pages().items()
    texts = found.texts | {f"the metrics page of {name}": page.text for name, page in pages}
    told = [where for where, text in texts.items() if any(p in text for p in asked.forbidden())]
    refused = sum(not reply.ok for reply in asked.replies)
    evidence.record("searched", sorted(texts))
    evidence.record("answers_searched_for", len(asked.phrases()))
    evidence.record("refused", refused)
    evidence.record("request_ids_found", len(found.ids))
    evidence.record("told", told)

    assert not told, f"{told[0]} holds what users said or were answered; {len(told)} such places"
    if not (refused and asked.phrases()):
        raise HarnessError(f"{refused} requests were refused, {len(asked.phrases())} answers long")
    # Negative control: the same search finds what may be in a log.
    if len(found.ids) < len(asked.ids):
        raise HarnessError(
            f"the logs tell {len(found.ids)} of {len(asked.ids)} requests by id or user agent:"
            " where they are logged was not searched; switch the gateway's access log on"
        )
