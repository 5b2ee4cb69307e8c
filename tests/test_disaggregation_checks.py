"""Checks of prefill and decode pods pass beside sound ones, and fail beside their broken twins.

The pods are processes of this machine, and objects of an API server in miniature: what a lab adds
are a gateway, names and a kubelet.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fixtures.decode_loss import DecodeLoss
from fixtures.dialects import Spoken
from fixtures.disaggregation import Pools
from fixtures.liveness import Engines
from fixtures.stack import Stack
from fixtures.within_engines import WithinEngines
from hotfire import Evidence, TargetProfile
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.plan import World
from hotfire.cluster import Pod
from hotfire.disaggregation import Disaggregation
from hotfire.engine.disaggregated import engine as engine_program
from hotfire.engine.disaggregated import router as router_program
from hotfire.errors import HarnessError
from hotfire.gateway import Gateway
from hotfire.profile import StackChoice
from suites.disaggregation import test_a_lost_decode_pod_surfaces_as_an_error as loss
from suites.disaggregation import test_no_more_prompts_are_read_than_decode_pods_take as admission
from suites.disaggregation import test_prefill_memory_is_free_after_a_decode_loss as memory
from suites.disaggregation import (
    test_requests_are_prefilled_and_decoded_in_different_pods as transfer,
)
from tests.chaos.conftest import address, api, cluster, profile, world
from tests.chaos.platform import engine_pod
from tests.defects.a_lost_decode_pod_surfaces_as_an_error import TELLS
from tests.defects.no_more_prompts_are_read_than_decode_pods_take import EXACT, ROUNDED
from tests.defects.requests_are_prefilled_and_decoded_in_different_pods import TAKES
from tests.engine_process import EngineProcess
from tests.fake_api import FakeApi
from tests.rag_machine import told
from tests.test_disaggregated_engines import engine, running

__all__ = ["address", "api", "cluster", "profile", "world"]
NAMES = ("prefill-1", "decode-1", "decode-2")
LOSS_SECONDS = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the checks ask for."""

    pools: Pools
    engines: Engines
    evidence: Evidence

    @property
    def decode_loss(self) -> DecodeLoss:
        return DecodeLoss(pools=self.pools, engines=self.engines)


class Pages(dict[tuple[str, str, str], str]):
    """The metrics page of each pod as it is at that moment."""

    def __init__(self, processes: Mapping[str, EngineProcess]) -> None:
        super().__init__()
        self._processes = processes

    def get(self, key: tuple[str, str, str], default: object = None) -> str:
        del default
        return told(self._processes[key[0]].url, "/metrics")


class Here(WithinEngines):
    """What is run in a pod runs here."""

    def run(
        self,
        pod: Pod,
        program: str,
        *words: str,
        container: str = "",
        within_seconds: float = 30.0,
    ) -> str:
        """Return what it prints."""
        del pod, container
        argv = [sys.executable, "-c", program, *words]
        return subprocess.run(
            argv, capture_output=True, text=True, check=True, timeout=within_seconds
        ).stdout

    def command_lines(self, pod: Pod) -> str:
        """Return no name of any process."""
        del pod
        return ""


class Agent(AgentClient):
    """Signals processes of this machine."""

    def __init__(self, world: World, processes: Mapping[str, EngineProcess]) -> None:
        super().__init__(world.cluster, world.profile)
        self._processes = processes
        self._standing: dict[object, EngineProcess] = {}

    def _call(
        self, node: str, op: str, args: Mapping[str, object], *, repeatable: bool = False
    ) -> object:
        del node, repeatable
        if op == "heal":
            if (stood := self._standing.pop(args["id"], None)) is not None:
                stood.process.send_signal(signal.SIGCONT)
            return {"problems": []}
        one = self._processes[str(args["pod_uid"])]
        if args["signal"] == "STOP":
            self._standing[args["id"]] = one
        one.process.send_signal(signal.Signals[f"SIG{args['signal']}"])
        return {"id": args["id"], "op": op, "state": "injected"}


Laid = Callable[..., AbstractContextManager[Ground]]


@pytest.fixture
def laid(world: World, api: FakeApi, tmp_path: Path) -> Laid:
    """Have pods and their router, with some words of their programs in place of others."""

    @contextmanager
    def lay(
        *, router: tuple[str, str] = ("", ""), decode: tuple[str, str] = ("", ""), lease: str = "3"
    ) -> Iterator[Ground]:
        with ExitStack() as stack:
            programs = {"decode": program(tmp_path, engine_program.__file__, *decode)}
            processes = {
                name: stack.enter_context(
                    engine(name, source=programs.get(name[:-2], ""), KV_LEASE_SECONDS=lease)
                )
                for name in NAMES
            }
            front = program(tmp_path, router_program.__file__, *router)
            stack.enter_context(proceeding(processes))
            places = {
                "PREFILL": f"127.0.0.1:{processes['prefill-1'].port}",
                "DECODE": ",".join(f"127.0.0.1:{processes[one].port}" for one in NAMES[1:]),
                "PREFILLS_PER_DECODE": "4",
            }
            front_door = stack.enter_context(running("router", "0", source=front, **places))
            put_pods(api, processes)
            yield ground(
                with_pools(world.profile, front_door, processes), world, processes, tmp_path
            )

    return lay


def program(folder: Path, path: str, former: str, new: str) -> str:
    """Return a program with some words in place of others; empty where it is as it is."""
    if not former:
        return ""
    text = Path(path).read_text()
    assert former in text
    changed = folder / Path(path).name
    changed.write_text(text.replace(former, new))
    return str(changed)


@contextmanager
def proceeding(processes: Mapping[str, EngineProcess]) -> Iterator[None]:
    """Let nothing stand still once the block is over."""
    try:
        yield
    finally:
        for one in processes.values():
            one.process.send_signal(signal.SIGCONT)


def put_pods(api: FakeApi, processes: Mapping[str, EngineProcess]) -> None:
    for name in processes:
        pod = engine_pod(name, node="n1")
        pod["metadata"] |= {"labels": {"app": name[:-2]}, "uid": name}
        api.put(pod)
    api.pages = Pages(processes)


def with_pools(
    found: TargetProfile, router: EngineProcess, processes: Mapping[str, EngineProcess]
) -> TargetProfile:
    roles = StackChoice(roles={"prefill": {"app": "prefill"}, "decode": {"app": "decode"}})
    port = processes["decode-1"].port
    return found.model_copy(
        update={
            "gateway": Gateway(url=router.url, base_path="/disaggregated"),
            "engine": found.engine.model_copy(update={"port": port}),
            "stack": roles,
            "disaggregation": Disaggregation(prefills_per_decode=4, loss_seconds=LOSS_SECONDS),
        }
    )


def ground(
    found: TargetProfile, world: World, processes: Mapping[str, EngineProcess], folder: Path
) -> Ground:
    own = World(cluster=world.cluster, agent=world.agent, profile=found)
    evidence, spoken = Evidence(folder), Spoken(found)
    within = Here(world.cluster, found, Stack(world.cluster, found), spoken)
    pools = Pools(
        cluster=world.cluster,
        profile=found,
        spoken=spoken,
        within=within,
        record=evidence.exchange,
    )
    agent = Agent(own, processes)
    engines = Engines(cluster=world.cluster, agent=agent, within=within, profile=found)
    return Ground(pools=pools, engines=engines, evidence=evidence)


def test_transfer_passes_where_decode_pods_take_what_was_read(laid: Laid) -> None:
    with laid() as on:
        transfer.test_prefill_pods_read_what_decode_pods_are_given(on.pools, on.evidence)


def test_transfer_fails_where_decode_pods_read_again(laid: Laid) -> None:
    with (
        laid(decode=(TAKES, "taken = False")) as on,
        pytest.raises(AssertionError, match="the KV cache of 0 came to decode pods, which read"),
    ):
        transfer.test_prefill_pods_read_what_decode_pods_are_given(on.pools, on.evidence)


def lose(on: Ground) -> None:
    loss.test_requests_of_a_decode_pod_that_dies_fail_aloud(
        on.decode_loss, on.pools.profile, on.evidence
    )


def test_loss_passes_where_the_router_says_502(laid: Laid) -> None:
    with laid() as on:
        lose(on)


def test_loss_fails_where_the_router_says_nothing(laid: Laid) -> None:
    with (
        laid(router=(TELLS, "return Answer(HTTPStatus.OK)")) as on,
        pytest.raises(AssertionError, match="ended as if nothing had been"),
    ):
        lose(on)


def forget(on: Ground) -> None:
    idle = memory.kv_use(on.pools)
    memory.test_what_a_lost_pod_was_to_take_is_free_in_time(
        on.pools, on.decode_loss, idle, on.evidence
    )


def test_memory_passes_where_it_is_free_after_a_lease(laid: Laid) -> None:
    with laid(lease="5") as on:
        forget(on)


def test_memory_fails_where_the_lease_is_eight_minutes(laid: Laid) -> None:
    with laid(lease="480") as on, pytest.raises(AssertionError, match="prefill pods still keep"):
        forget(on)


def burst(on: Ground) -> None:
    admission.test_prompts_beyond_the_ratio_wait_until_one_is_taken(
        on.pools, on.engines, 8, on.evidence
    )


def test_admission_passes_where_the_excess_waits(laid: Laid) -> None:
    with laid(lease="30") as on:
        burst(on)


def test_admission_fails_where_the_ratio_is_rounded(laid: Laid) -> None:
    with (
        laid(router=(EXACT, ROUNDED), lease="30") as on,
        pytest.raises(AssertionError, match=r"(9|1\d) prompts were read before one was taken"),
    ):
        burst(on)


def test_a_pool_that_is_not_told_is_asked_for(laid: Laid) -> None:
    with laid() as on:
        told_nothing = on.pools.profile.model_copy(update={"stack": StackChoice()})

        with pytest.raises(HarnessError, match=r"set stack\.roles\.decode"):
            replace(on.pools, profile=told_nothing).pods("decode")
