"""A request is prefilled and decoded in different pods with its KV cache transferred.

The two halves of the work are kept apart so that neither waits for the other. Where the transfer
fails without a word, the decode pod reads the prompt once more: answers are right and requests are
in both logs, but the work is done twice, and where nothing was to wait everything does again.
"""

from dataclasses import asdict

from fixtures.disaggregation import Pools, Work, prompt_tokens
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "DIS-001",
    Level.SHOULD,
    __doc__,
    source="https://docs.vllm.ai/en/latest/features/disagg_prefill/",
    cncf="networking.disaggregated_inference",
    features={"disaggregation"},
)

REQUESTS = 4
LEAST_SHARE = 0.9
"""Connectors hand over whole blocks, and the last token of a prompt is always read again."""


def test_prefill_pods_read_what_decode_pods_are_given(pools: Pools, evidence: Evidence) -> None:
    before = pools.look()
    asked = sum(map(prompt_tokens, pools.usual(REQUESTS)))
    work = pools.work_since(before, asked)
    evidence.record("tokens", asdict(work))
    require_told_apart(pools, evidence)

    of_all = f"of {work.asked:.0f} tokens of prompts"
    least, most = LEAST_SHARE * work.asked, (1 - LEAST_SHARE) * work.asked
    assert work.read >= least, f"{of_all} prefill pods read {work.read:.0f}"
    assert work.transferred >= least, (
        f"{of_all} the KV cache of {work.transferred:.0f} came to decode pods, which read"
        f" {work.read_again:.0f} themselves"
    )
    assert work.read_again <= most, f"{of_all} decode pods read {work.read_again:.0f} again"


def require_told_apart(pools: Pools, evidence: Evidence) -> None:
    """Make sure, as negative control, that a prompt which nobody else read is told as such.

    Raises:
        HarnessError: a decode pod that reads a prompt itself tells of a transfer all the same.
    """
    pod, before = pools.pods("decode")[0], pools.look()
    alone: Work = pools.work_since(before, pools.answered_alone(pod))
    evidence.record("tokens_of_a_decode_pod_alone", asdict(alone))
    if alone.transferred > (1 - LEAST_SHARE) * alone.asked or not alone.read_again:
        raise HarnessError(
            f"{pod.name} was asked past the router and read a prompt of {alone.asked:.0f} tokens"
            f" itself; it tells that it read {alone.read_again:.0f} and was given"
            f" {alone.transferred:.0f}: what it tells of transfers proves nothing"
        )
