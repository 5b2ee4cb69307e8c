"""Liveness leaves a busy engine alone.

A probe that asks for a token waits behind the users, and under the very load that an engine was
bought for it runs into its timeout: the engine is restarted, its users go to the others, and those
are restarted next. A probe has to tell one that computes from one that hangs.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict

from fixtures.busy import Looks, keep_busy
from fixtures.liveness import Engines, Liveness, Told
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "LIF-004",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
)

# A probe that waits behind users fails each time: as long as a hung engine lives, and half of that.
HELD_RATIO = 1.5
# By then everybody has asked; what the first looks show does not count.
FIRST_LOOKS = 5


def doubt(looks: Looks) -> str:
    """Return why an engine was not busy and at work all the time; empty if it was."""
    seen = [look for look in looks[FIRST_LOOKS:] if look is not None]
    if len(seen) < FIRST_LOOKS:
        return f"its page was read {len(seen)} times"
    waiting, made = zip(*seen, strict=True)
    if None in (*waiting, *made):
        return "its page lacks who waits, or what moves while tokens are made"
    if not all(waiting):
        return "for a moment nobody waited"
    return "" if made[-1] > made[0] else "what it makes stands still: it hangs, see LIF-003"


def pressed(engines: Engines, promised: Mapping[str, Liveness]) -> dict[str, Future[Looks]]:
    """Keep all of them busy at once; one that is ended meanwhile has no looks, but an error."""
    pods = engines.within.serving()
    with ThreadPoolExecutor(len(pods)) as pool:
        return {
            pod.name: pool.submit(
                keep_busy,
                engines.within,
                engines.profile,
                pod,
                HELD_RATIO * promised[pod.name].noticed_seconds,
            )
            for pod in pods
        }


def test_engines_under_load_are_not_restarted(engines: Engines, evidence: Evidence) -> None:
    pods = engines.within.serving()
    promised = {pod.name: found for pod in pods if (found := engines.promised(pod))}
    if without := [pod.name for pod in pods if pod.name not in promised]:
        raise HarnessError(f"{without} have no liveness probe; LIF-003 judges that")
    before = {pod.name: engines.told(pod) for pod in pods}
    looks = pressed(engines, promised)
    after = {pod.name: engines.told(pod) for pod in pods}
    ended = [name for name in before if after[name].ended_since(before[name])]
    evidence.record("before", {name: asdict(told) for name, told in before.items()})
    evidence.record("after", {name: asdict(told) for name, told in after.items()})
    evidence.record("ended", ended)

    assert not ended, (
        f"{ended[0]} was ended by its liveness probe while it was busy; let the probe ask for"
        " something that does not wait behind users"
    )
    told = {name: future.result() for name, future in looks.items()}
    evidence.record("looks", told)
    if doubts := {name: why for name, one in told.items() if (why := doubt(one))}:
        raise HarnessError(f"not busy all the time: {doubts}")
    check_control(engines, pods[-1], promised[pods[-1].name], after[pods[-1].name], evidence)


def check_control(
    engines: Engines, victim: Pod, promised: Liveness, before: Told, evidence: Evidence
) -> None:
    """Negative control: the probe of an engine that is stopped instead fails, and we hear of it.

    By an event, or by the restart: a kubelet that told of many failed startup probes has no event
    left for a while (client-go's spam filter: 25 a pod, and one more every five minutes).
    """

    def heard() -> bool:
        now = engines.told(victim)
        return now.failed > before.failed or now.ended_since(before)

    with engines.standing(victim), engines.asked(victim):
        noticed = of_target(
            heard,
            within_seconds=promised.limit_seconds,
            what=f"a failed probe of {victim.name}, which stands still",
            excused_seconds=engines.cluster.silent_seconds,
        )
    evidence.record("noticed_when_stopped", noticed.seen)
    if not noticed:
        raise HarnessError(f"{noticed}: what does not notice that tells nothing here; see LIF-003")
