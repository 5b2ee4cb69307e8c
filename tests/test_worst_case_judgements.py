"""What the check of the engines' worst case concludes from pods and from what engines tell."""

import pytest

from fixtures.dialects import Spoken
from hotfire.cluster import Pod
from hotfire.profile import TargetProfile
from suites.gpu.test_worst_case_fits_the_memory import Pressed, ended

PROFILE = TargetProfile.model_validate(
    {"name": "x", "gateway": {"url": "http://x"}, "engine": {"model": "m"}, "budgets": {}}
)


def pod(*, restarts: int = 0, state: str = "running", last: str = "", uid: str = "u") -> Pod:
    status = {"name": "vllm", "restartCount": restarts, "state": {state: {}}}
    status |= {"lastState": {"terminated": {"reason": last}}} if last else {}
    metadata = {"name": "vllm-0", "namespace": "n", "uid": uid}
    return Pod.parse({"metadata": metadata, "status": {"containerStatuses": [status]}})


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (pod(), ""),
        (pod(restarts=1, last="OOMKilled"), "vllm-0 ended: OOMKilled"),
        (pod(state="terminated"), "vllm-0 ended: nothing tells why"),
        (pod(uid="other"), "vllm-0 was replaced"),
        (None, "vllm-0 was replaced"),
    ],
)
def test_engine_that_ended_is_told_by_its_pod(now: Pod | None, told: str) -> None:
    assert ended(pod(), now) == told


def page(*, running: int, waiting: int = 0) -> str:
    told = {"running": running, "waiting": waiting}
    lines = [f'vllm:num_requests_{name}{{model_name="m"}} {count}' for name, count in told.items()]
    return "\n".join(["# TYPE vllm:num_requests_running gauge", *lines, ""])


def test_engine_is_pressed_once_it_ran_all_or_let_somebody_wait() -> None:
    admitted = {"full": 4, "queued": 4, "idle": 4}
    pressed = Pressed(spoken=Spoken(PROFILE), admitted=admitted)

    for most in (4, 1):
        pressed.read("full", page(running=most))
    pressed.read("queued", page(running=2, waiting=1))
    pressed.read("idle", page(running=2))

    assert pressed.unpressed == ["idle worked on 2 of 4 at once"]
    assert pressed.preempted["full"] is None
