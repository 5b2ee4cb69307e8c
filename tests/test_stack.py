"""The stack is opened for the checks as soon as it serves, however badly: they judge that."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest

from fixtures.stack import CANARY, Stack, wait_answering
from hotfire.errors import ClusterError, HarnessError, TargetNotReady
from hotfire.profile import TargetProfile
from tests.chaos.platform import NAMESPACE, engine_pod, profile_for
from tests.fake_api import Document, FakeApi, connect, serving

ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Yes"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
).encode()


class Gateway(BaseHTTPRequestHandler):
    """Answers each question by the turn it comes in."""

    protocol_version = "HTTP/1.1"
    turns: "count[int]"
    truncated_every = 0
    served_by = "stable"
    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        turn, data = next(self.turns), ANSWER
        broken = self.truncated_every and turn % self.truncated_every == 0
        self.send_response(self.status)
        self.send_header("content-length", str(len(data)))
        self.send_header("x-served-by", self.served_by)
        self.end_headers()
        self.wfile.write(data[:5] if broken else data)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> type[Gateway]:
    return type("OneGateway", (Gateway,), {"turns": count()})


@pytest.fixture
def profile(gateway: type[Gateway], tmp_path: Path) -> Iterator[TargetProfile]:
    with ThreadingHTTPServer(("127.0.0.1", 0), gateway) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield impatient(profile_for(tmp_path, address, gateway=address))
        server.shutdown()


def impatient(profile: TargetProfile) -> TargetProfile:
    short = {"route_live_seconds": 0.5, "pod_ready_seconds": 0.5}
    return profile.model_copy(update={"waits": profile.waits.model_copy(update=short)})


def test_gateway_that_answers_whole_is_open_without_a_word(profile: TargetProfile) -> None:
    assert wait_answering(profile) is None


def test_one_truncated_answer_in_twenty_is_left_to_the_checks(
    profile: TargetProfile, gateway: type[Gateway]
) -> None:
    gateway.truncated_every = 20

    said = wait_answering(profile)

    assert said
    assert said.startswith("before the first check 1 of 20 answers were broken: 200 ")


@pytest.mark.parametrize(("status", "served_by"), [(503, "stable"), (200, CANARY)])
def test_gateway_that_never_learns_of_the_engines_is_the_target_s(
    profile: TargetProfile, gateway: type[Gateway], status: int, served_by: str
) -> None:
    gateway.status, gateway.served_by = status, served_by

    with pytest.raises(TargetNotReady, match="engines answered 0"):
        wait_answering(profile)


def test_gateway_that_nothing_of_ours_ever_reached_is_not_known(tmp_path: Path) -> None:
    nowhere = profile_for(tmp_path, "http://127.0.0.1:9", gateway="http://127.0.0.1:9")

    with pytest.raises(HarnessError, match="nothing answers at http://127"):
        wait_answering(impatient(nowhere))


def deployment(*, ready: int) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "vllm", "namespace": NAMESPACE, "generation": 1},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 1, "readyReplicas": ready, "replicas": 2},
    }


@pytest.mark.parametrize(
    ("waiting", "condition", "said"),
    [
        ("ImagePullBackOff", None, "engine-2 is Running: ImagePullBackOff"),
        ("CrashLoopBackOff", None, "engine-2 is Running: CrashLoopBackOff"),
        (
            None,
            {"reason": "Unschedulable", "message": "0/3 nodes are available"},
            "engine-2 is Running: Unschedulable: 0/3 nodes are available",
        ),
    ],
)
def test_pod_that_does_not_start_is_the_target_s_and_says_why(
    tmp_path: Path, waiting: str | None, condition: Document | None, said: str
) -> None:
    api = FakeApi()
    api.put(deployment(ready=1))
    pod = engine_pod("engine-2", node="", ready=False)
    if waiting:
        pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": waiting}}
    if condition:
        unbound = {"type": "PodScheduled", "status": "False", **condition}
        pod["status"]["conditions"].append(unbound)
    api.put(pod)

    with serving(api) as address, pytest.raises(TargetNotReady) as told:
        Stack(connect(address), impatient(profile_for(tmp_path, address))).wait_ready()

    assert "vllm has 1/2 ready pods" in str(told.value)
    assert said in str(told.value)


def test_pods_that_nobody_could_look_at_are_not_known(tmp_path: Path) -> None:
    api = FakeApi()
    api.put(deployment(ready=1))
    api.refuse["GET deployments"] = 503

    with serving(api) as address, pytest.raises(ClusterError):
        Stack(connect(address), impatient(profile_for(tmp_path, address))).wait_ready()
