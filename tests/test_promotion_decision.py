"""The promotion gate lets sound versions pass and stops bad ones, as often as it promises."""

import random
from dataclasses import dataclass, replace

import pytest
import scipy

from hotfire.engine.promotion_decision import (
    ASKED,
    STABLE_TIMES,
    STEPS,
    Decision,
    Seen,
    decide,
    longer,
    more_often,
)

RUNS, MOST_WRONG = 59, 3
"""Of 59 runs none may be wrong to show 95 % at 95 % confidence; a sound one may be three times."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version whose truth is known."""

    error_ratio: float = 0.001
    invalid_ratio: float = 0.0
    ttft_seconds: float = 0.03
    tpot_seconds: float = 0.005

    def seen(self, chance: random.Random, times: int) -> Seen:
        """Return what a step shows of it; times vary by a sixth, as under load."""
        asked = ASKED * times
        bound = asked * 2 // 3
        timed = asked - bound
        return Seen(
            asked=asked,
            errors=sum(chance.random() < self.error_ratio for _ in range(asked)),
            bound=bound,
            invalid=sum(chance.random() < self.invalid_ratio for _ in range(bound)),
            ttft_seconds=tuple(self.ttft_seconds * _jitter(chance) for _ in range(timed)),
            tpot_seconds=tuple(self.tpot_seconds * _jitter(chance) for _ in range(timed)),
            ended=asked,
        )


def _jitter(chance: random.Random) -> float:
    return chance.lognormvariate(0, 0.17)


SOUND = Version()


def trial(canary: Version, seed: int) -> tuple[Decision, int]:
    """Return what became of a version, and in which step."""
    chance, step, decision = random.Random(seed), 0, Decision.WAIT  # noqa: S311 - a simulation
    stable_seen = canary_seen = Seen(ended=0)
    for step in range(1, len(STEPS) + 1):
        stable_seen += SOUND.seen(chance, STABLE_TIMES)
        canary_seen += canary.seen(chance, 1)
        decision, why = decide(stable_seen, canary_seen, step=step)
        assert decision is not Decision.WAIT, why
        if decision is Decision.BACK:
            break
    return decision, step


@pytest.mark.parametrize(
    "bad",
    [
        Version(tpot_seconds=0.005 * 1.25),
        Version(ttft_seconds=0.03 * 1.25),
        Version(invalid_ratio=0.03),
        Version(error_ratio=0.05),
    ],
    ids=["TPOT +25 %", "TTFT +25 %", "3 % invalid JSON", "5 % errors"],
)
def test_no_bad_version_is_promoted_and_most_are_stopped_at_once(bad: Version) -> None:
    ends = [trial(bad, seed) for seed in range(RUNS)]

    assert [decision for decision, _ in ends] == [Decision.BACK] * RUNS
    assert sum(step == 1 for _, step in ends) >= RUNS - MOST_WRONG


def test_a_sound_version_is_promoted_nearly_always() -> None:
    ends = [trial(SOUND, seed)[0] for seed in range(4 * RUNS)]

    assert ends.count(Decision.ON) >= 4 * (RUNS - MOST_WRONG)


def test_a_version_that_is_a_little_slower_is_good_enough() -> None:
    ends = [trial(Version(tpot_seconds=0.005 * 1.05), seed)[0] for seed in range(RUNS)]

    assert ends.count(Decision.ON) >= RUNS - MOST_WRONG


@pytest.mark.parametrize("of", ["stable", "canary"])
@pytest.mark.parametrize("lacking", [{"ended": None}, {"ended": 0}, {"tpot_seconds": ()}])
def test_what_is_missing_is_never_good(of: str, lacking: dict[str, object]) -> None:
    chance = random.Random(1)  # noqa: S311 - a simulation
    seen = {"stable": SOUND.seen(chance, STABLE_TIMES), "canary": SOUND.seen(chance, 1)}
    whole = decide(seen["stable"], seen["canary"], step=1)[0]
    seen[of] = replace(seen[of], **lacking)  # type: ignore[arg-type]
    decision, why = decide(seen["stable"], seen["canary"], step=1)

    assert (whole, decision) == (Decision.ON, Decision.WAIT)
    assert of in why


def test_nothing_is_decided_before_as_much_was_asked_as_was_declared() -> None:
    bad = Version(error_ratio=0.5).seen(random.Random(1), 1)  # noqa: S311 - a simulation
    few = replace(bad, asked=ASKED - 1)
    stable = SOUND.seen(random.Random(2), STABLE_TIMES)  # noqa: S311 - a simulation

    assert decide(stable, few, step=1)[0] is Decision.WAIT
    assert decide(stable, bad, step=1)[0] is Decision.BACK
    assert decide(stable, bad, step=2)[0] is Decision.WAIT


@pytest.mark.parametrize("hits", [(4, 0), (9, 3), (700, 2100), (40, 900)])
def test_counts_are_compared_by_the_exact_binomial_test(hits: tuple[int, int]) -> None:
    (new, old), tries = hits, (1000, 3000)
    oracle = scipy.stats.binomtest(new, new + old, 0.25, alternative="greater").pvalue

    assert more_often((new, tries[0]), (old, tries[1])) == pytest.approx(oracle, rel=1e-6)


def test_times_are_compared_by_the_rank_sum_test_with_ties() -> None:
    chance = random.Random(3)  # noqa: S311 - a simulation
    new = [round(chance.lognormvariate(0.1, 0.3), 1) for _ in range(150)]
    old = [round(chance.lognormvariate(0, 0.3), 1) for _ in range(450)]
    told = scipy.stats.mannwhitneyu(
        new, old, alternative="greater", use_continuity=False, method="asymptotic"
    )

    assert longer(new, old) == pytest.approx(told.pvalue, rel=1e-6)


def test_where_nothing_happened_nothing_is_worse() -> None:
    assert more_often((0, 100), (5, 100)) == more_often((0, 0), (0, 0)) == 1
    assert longer([], [1.0]) == longer([1.0, 1.0], [1.0, 1.0]) == 1
