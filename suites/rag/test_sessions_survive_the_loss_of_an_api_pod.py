"""Session state survives the loss of an API pod.

A pod dies with its node, in every roll-out and in every scale-in. An application that keeps its
sessions in it forgets in the middle of a conversation what its users told it, and answers as if
nothing had been said. Where the state is kept must not matter to whose it is, either.
"""

import uuid
from dataclasses import dataclass

import pytest

from fixtures.rag import MAX_TOKENS, Application
from hotfire import Evidence, Level, Reply, requirement
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "RAG-006",
    Level.SHOULD,
    __doc__,
    source="https://12factor.net/processes",
    features={"rag", "rag-sessions"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One conversation with the application."""

    application: Application
    header: str
    name: str

    def say(self, text: str) -> Reply:
        """Take a turn over a connection of its own, since pods come and go."""
        with self.application.client() as client:
            return client.chat(
                text, max_tokens=MAX_TOKENS, headers={self.header: self.name}, fresh=True
            )

    def recalls(self, word: str) -> bool:
        """Return whether the next turn that is answered knows a word of an earlier one.

        Raises:
            TargetNotReady: none is answered.
        """
        answered = of_target(
            lambda: reply if (reply := self.say("What is my name?")).ok else None,
            within_seconds=self.application.profile.waits.route_live_seconds,
            what="an answer of the application",
            excused_seconds=self.application.cluster.silent_seconds,
        ).required()
        return answered is not None and word in answered.text


@pytest.fixture
def header(application: Application) -> str:
    """The header that names a session.

    Raises:
        HarnessError: it is not declared.
    """
    if application.rag.session_header is None:
        raise HarnessError("rag-sessions is claimed; set rag.session_header to what names one")
    return application.rag.session_header


def test_the_next_turn_has_the_history(
    application: Application, cluster: Cluster, header: str, evidence: Evidence
) -> None:
    mine, other = (
        Session(application=application, header=header, name=uuid.uuid4().hex) for _ in range(2)
    )
    word = f"Zephyrine{uuid.uuid4().hex[:8]}"
    told = mine.say(f"My name is {word}.")
    before = told.ok and mine.recalls(word)
    evidence.record("recalled_before", before)
    if not before:
        raise HarnessError(
            f"with every pod as it was the next turn does not know the name that was told"
            f" ({told.why}): nothing is there to be lost"
        )

    killed = [kill(application, cluster, pod) for pod in application.pods("api")]
    evidence.record("killed", killed)
    after, elsewhere = mine.recalls(word), other.recalls(word)
    evidence.record("recalled_after", after)
    evidence.record("recalled_by_another_session", elsewhere)

    assert after, f"after {', '.join(killed)} was killed the session has forgotten its name"
    # Negative control: it is the session that remembers, not the question that tells.
    assert not elsewhere, "another session is told the name that was said in this one"


def kill(application: Application, cluster: Cluster, pod: Pod) -> str:
    """Kill a pod of the API, and wait until another one serves in its place."""
    count = len(application.pods("api"))
    cluster.delete("Pod", pod.namespace, pod.name, uid=pod.uid, grace_seconds=0)
    until(
        lambda: pod.uid not in {one.uid for one in application.remaining("api")},
        within_seconds=application.profile.waits.pod_gone_seconds,
        what=f"{pod.name} gone",
        excused_seconds=cluster.silent_seconds,
    )
    application.require_whole("api", count=count)
    return pod.name
