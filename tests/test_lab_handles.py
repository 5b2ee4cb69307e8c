"""Names, plans and records of what can be broken in a lab."""

import base64
import fcntl
import json
import re
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ClassVar

import pytest
import scipy
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hotfire.agent.entries import boot_seconds
from hotfire.errors import FaultNotInjected, HarnessError, LabError, ProfileError
from hotfire.lab.cluster import logs
from hotfire.lab.face import tokens
from hotfire.lab.face.cli import app
from hotfire.lab.handles import breaking, facts, mending, names, plan, proofs, returned, warden
from hotfire.lab.handles.case import Case
from hotfire.lab.handles.link_proofs import lost_in_words
from hotfire.lab.handles.names import WAYS, Handle, Kind
from hotfire.lab.handles.plan import BreakOptions
from hotfire.lab.handles.records import (
    ALL,
    Broken,
    MachineEntry,
    Records,
    due,
    ended_by_boot,
    granted,
)
from hotfire.lab.lab import Lab
from hotfire.lab.machine.machines import Rack
from hotfire.lab.network import router
from hotfire.lab.shape import topology_file
from hotfire.lab.shape.blueprint import AGENT, Service
from hotfire.lab.shape.state import LabRecord, Ports, State, state_home
from hotfire.lab.shape.topology import Topology

TOPOLOGY = Topology(nodes=2, racks=2, gpus_per_node=1)


@pytest.fixture
def rack(tmp_path: Path) -> Rack:
    """Machines as they are written down when switched on; none of them is on."""
    rack = Rack(tmp_path / "machines", usr_layer=tmp_path)
    for machine in TOPOLOGY.machines:
        services = [*router.machine_services(machine), AGENT]
        if machine.name == "store":
            services.append(Service(name="model-store", argv=("python3",)))
        if machine.name == "client":
            services.append(Service(name="relay", argv=("python3",), fds=(3,)))
        rack.home(machine.name).mkdir(parents=True)
        document = {"services": [service.spec() for service in services]}
        (rack.home(machine.name) / "spec.json").write_text(json.dumps(document))
    return rack


@pytest.fixture
def handles(rack: Rack) -> dict[str, Handle]:
    return names.of_lab(TOPOLOGY, rack)


def test_every_part_has_a_handle_named_after_its_place(handles: dict[str, Handle]) -> None:
    wanted = {"n1/power", "n2/up2", "r1", "r2/bird", "cp1/bird", "n2/gpu0", "store/up1", "dns"}

    assert wanted <= set(handles)
    assert handles["n2/gpu0"].part == TOPOLOGY.machine("n2").gpus[0]
    assert handles["store/model-store"].kind is Kind.STORE


def test_what_cannot_be_put_back_has_no_handle(handles: dict[str, Handle]) -> None:
    assert "client/up1" in handles
    assert "client/power" not in handles
    assert "r1/power" not in handles
    assert not [name for name in handles if name.endswith("/agent")]


def test_list_of_handles_names_each_of_them_once(handles: dict[str, Handle]) -> None:
    groups = names.grouped(handles.values())

    listed = [g.name.replace("M/", f"{m}/", 1) for g in groups for m in g.machines or ("",)]

    assert sorted(listed) == sorted(handles)
    assert next(each for each in groups if each.name == "M/up2").ways == names.LINK_WAYS


def test_unknown_handle_is_told_with_those_of_its_machine(handles: dict[str, Handle]) -> None:
    with pytest.raises(ProfileError, match=r"no handle 'r1/up1'; there are r1, r1/bird"):
        names.find(handles, "r1/up1")


def test_way_that_a_kind_does_not_have_is_refused(handles: dict[str, Handle]) -> None:
    with pytest.raises(ProfileError, match="n1/up1 can be broken by --how silent, carrier"):
        names.way(handles["n1/up1"], "stop")


def test_amount_for_what_has_none_is_refused_not_ignored(handles: dict[str, Handle]) -> None:
    order = BreakOptions(how="silent", for_seconds=60.0, amount=0.3)

    with pytest.raises(ProfileError, match="--how silent has no --amount; loss, delay"):
        plan.actions(TOPOLOGY, handles["n1/up1"], order)


@pytest.mark.parametrize(
    ("how", "amount", "told"),
    [
        # Nothing is not taken for the usual amount.
        ("loss", 0.0, "--amount of --how loss takes 0.001 to 1, not 0"),
        ("rate", 1e9, "--amount of --how rate takes 200000 to 1e+08 bit/s, not 1e+09"),
        ("delay", 1.0, "--amount of --how delay takes 0.001 to 0.9 s, not 1"),
        ("delay", float("nan"), "not nan"),
    ],
)
def test_an_amount_that_could_not_be_proven_is_refused(
    handles: dict[str, Handle], how: str, amount: float, told: str
) -> None:
    order = BreakOptions(how=how, for_seconds=60.0, amount=amount)

    with pytest.raises(ProfileError, match=re.escape(told)):
        plan.actions(TOPOLOGY, handles["n1/up1"], order)


def test_error_code_for_what_is_no_gpu_is_refused(handles: dict[str, Handle]) -> None:
    order = BreakOptions(how="silent", for_seconds=60.0, xid=48)

    with pytest.raises(ProfileError, match="--xid is for GPUs, and n1/up1 is none; leave it out"):
        plan.actions(TOPOLOGY, handles["n1/up1"], order)


def orders() -> list[tuple[str, str]]:
    usual = {Kind.POWER: "n1/power", Kind.ROUTER: "r1", Kind.LINK: "n1/up1", Kind.DNS: "dns"}
    others = {Kind.SERVICE: "n1/bird", Kind.GPU: "n1/gpu0", Kind.STORE: "store/model-store"}
    return [(name, how) for kind, name in (usual | others).items() for how in WAYS[kind]]


@pytest.mark.parametrize(("name", "how"), orders())
def test_every_way_is_an_operation_on_machines_that_are_compared(
    handles: dict[str, Handle], name: str, how: str
) -> None:
    order = BreakOptions(how=how, for_seconds=10)

    actions = plan.actions(TOPOLOGY, handles[name], order)

    assert actions
    assert {each.machine for each in actions} <= set(plan.machines(TOPOLOGY, handles[name]))


def test_carrier_is_taken_at_the_routers_end(handles: dict[str, Handle]) -> None:
    order = BreakOptions(how="carrier", for_seconds=10)

    (action,) = plan.actions(TOPOLOGY, handles["n1/up2"], order)

    assert (action.machine, action.op, action.args["link"]) == ("r2", "link.carrier_down", "n1")


def test_delay_and_rate_act_on_both_ends(handles: dict[str, Handle]) -> None:
    order = BreakOptions(how="delay", for_seconds=10, amount=0.5)

    actions = plan.actions(TOPOLOGY, handles["n1/up2"], order)

    assert [(each.machine, each.args) for each in actions] == [
        ("n1", {"seconds": 0.5, "link": "up2"}),
        ("r2", {"seconds": 0.5, "link": "n1"}),
    ]


def test_power_is_cut_behind_silent_links(handles: dict[str, Handle]) -> None:
    order = BreakOptions(how="off", for_seconds=10)

    actions = plan.actions(TOPOLOGY, handles["n1/power"], order)

    assert [(each.machine, each.op) for each in actions] == [
        ("r1", "link.silent_loss"),
        ("r2", "link.silent_loss"),
    ]


@pytest.mark.parametrize("text", [0.5, 3001])
def test_times_that_no_agent_grants_are_refused(text: float) -> None:
    with pytest.raises(ProfileError, match="--for takes 1 to 3000 seconds"):
        granted(text)


def broken(name: str, *machines: str) -> Broken:
    return Broken(
        name=name,
        how="silent",
        began_at="2026-01-01T00:00:00+00:00",
        expires_at=boot_seconds() + 60,
        machines=list(machines),
        entries=[],
    )


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "handles")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab of which nothing stands."""
    return Lab(tmp_path, home=tmp_path)


def test_record_survives_whoever_wrote_it(records: Records) -> None:
    first = broken("n1/up1", "n1", "r1")
    records.write(first)

    assert Records(records.folder).all() == [first]
    assert Records(records.folder).get("n1/up1") == first
    assert 55 < first.left_seconds <= 60


def test_what_waits_for_power_is_not_due_yet() -> None:
    over = boot_seconds() - 1
    stop = MachineEntry(machine="n1", id="a", op="service.stop", args={})
    cut = MachineEntry(machine="r1", id="b", op="link.silent_loss", args={})
    kubelet = replace(broken("n1/kubelet", "n1"), entries=[stop], expires_at=over)
    power = replace(broken("n1/power", "n1", "r1"), entries=[cut], expires_at=over)
    power = replace(power, powerless="n1")

    assert due([kubelet, power]) == [power]
    assert due([kubelet]) == [kubelet]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "n2/up1", "how"',
        "[1]",
        '{"entries": [], "added_later": 1}',
        '{"entries": [{"machine": "n2"}]}',
    ],
)
def test_a_record_that_cannot_be_read_is_told_and_hides_no_other(
    records: Records, text: str
) -> None:
    sound = broken("n1/up1", "n1")
    records.write(sound)
    (records.folder / "n2-up1.broken.json").write_text(text)

    assert records.all() == [sound]
    assert list(records.unreadable()) == ["n2-up1.broken.json"]
    with pytest.raises(HarnessError, match="cannot be read"):
        records.get("n2/up1")


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process get longer than ten bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_that_the_disk_does_not_take_leaves_the_one_before(records: Records) -> None:
    before = broken("n1/up1", "n1")
    records.write(before)

    with full_disk(), pytest.raises(HarnessError, match="was not written"):
        records.write(replace(before, how="another way"))

    assert records.get("n1/up1") == before


def test_why_a_handle_is_not_mended_is_told_though_the_disk_takes_no_note(records: Records) -> None:
    records.folder.mkdir(parents=True)

    with full_disk():
        records.note(broken("n1/up1", "n1"), "not as before")
        records.log(handle="n1/up1", event="not mended")

    assert records.all() == []


def test_a_boot_ends_what_was_broken_on_that_machine_before(records: Records) -> None:
    entries = {
        name: MachineEntry(machine=name, id=name, op="link.delay", args={}) for name in ("n1", "r1")
    }
    before = replace(broken("n1/up1"), entries=[entries["r1"], entries["n1"]])
    after = replace(before, name="n1/up2", began_at="2026-01-01T00:02:00+00:00")
    elsewhere = replace(before, name="n1/power", entries=[entries["r1"]])
    booted_at = datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC)

    assert ended_by_boot([elsewhere, before, after], "n1", booted_at) == ["n1/up1"]


def test_what_was_broken_on_a_removed_machine_needs_no_undo(lab: Lab) -> None:
    gone = MachineEntry(machine="n9", id="a", op="net.block", args={})

    mending.undo(lab, TOPOLOGY, replace(broken("dns"), entries=[gone], powerless="n9"))


def test_only_what_is_over_and_without_a_problem_is_due() -> None:
    young = broken("n1/up1", "n1")
    stuck = replace(young, expires_at=boot_seconds() - 1, problem="not as before")

    assert due([young, stuck]) == []


def test_the_sound_state_goes_with_the_last_record(records: Records) -> None:
    pair = broken("n1/up1", "n1"), broken("n2/up1", "n2")
    records.keep_sound({"n1 power": "on"})
    for each in pair:
        records.write(each)

    records.end(pair[0])
    kept = records.sound()
    records.end(pair[1])

    assert kept == {"n1 power": "on"}
    assert records.sound() is None


def lock_of_a_warden(records: Records) -> IO[str]:
    records.folder.mkdir(exist_ok=True)
    file = (records.folder / "warden.lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_a_warden_leaves_what_could_not_be_mended_to_somebody_else(records: Records) -> None:
    records.write(replace(broken("n1/up1", "n1"), problem="not as before"))

    with lock_of_a_warden(records) as lock:
        assert warden.leaves(records, lock)
        assert not warden.lives(records.folder.parent)


def test_a_warden_stays_for_the_record_that_somebody_is_about_to_write(records: Records) -> None:
    with lock_of_a_warden(records) as lock, ThreadPoolExecutor(1) as pool:
        with records.alone(ALL):
            leaves = pool.submit(warden.leaves, records, lock)
            records.write(broken("n1/up1", "n1"))

        assert not leaves.result(timeout=10)
        assert warden.lives(records.folder.parent)


def test_a_record_stays_until_the_log_tells_how_it_ended(records: Records) -> None:
    records.write(broken("n1/up1", "n1"))
    (records.folder / "handles.log").mkdir()  # Nothing can be logged.

    with pytest.raises(IsADirectoryError):
        records.end(broken("n1/up1", "n1"))

    assert records.get("n1/up1")


def test_the_time_that_was_asked_for_begins_when_it_is_broken(records: Records) -> None:
    slow = replace(broken("n1/up1", "n1"), expires_at=boot_seconds() - 1)

    lasts = breaking.lasting(records, slow, 10.0)

    assert 9 < lasts.left_seconds <= 10
    assert records.get("n1/up1") == lasts


def test_what_was_given_more_time_meanwhile_is_not_mended_yet(records: Records, lab: Lab) -> None:
    records.write(broken("n1/up1", "n1"))

    assert mending.mend_due(lab, records, "n1/up1") is None
    assert records.mendable()


def test_nobody_misses_a_warden_where_nothing_is_left_for_it(lab: Lab) -> None:
    breaking.of_lab(lab).write(replace(broken("n1/up1"), problem="not as before"))

    assert breaking.in_words(lab) == [
        "n1/up1: not as before (`hotfire lab mend n1/up1` tries again)"
    ]


def test_one_that_cannot_be_mended_does_not_keep_the_others_broken(
    records: Records, lab: Lab
) -> None:
    for name in ("n1/up1", "n2/up1"):
        records.write(broken(name))

    told = dict(mending.mend_each(lab, records, ["n1/up1", "n2/up1"]))

    assert [str(one) for one in told.values()] == [
        f"{name}: no lab is up; `hotfire lab up` starts one" for name in ("n1/up1", "n2/up1")
    ]
    assert all(one.problem for one in records.all())


SOUND = {"n1 power": "on", "n1 routes": "a", "n2 power": "on", "r1 power": "on", "api": "ready"}


def test_the_last_mended_compares_everything(records: Records) -> None:
    records.keep_sound(SOUND)
    records.write(broken("n1/up1", "n1", "r1"))

    assert mending.expected(records, broken("n1/up1", "n1", "r1")) == SOUND


def test_nothing_is_as_before_when_nobody_knows_how_it_was(records: Records) -> None:
    records.write(broken("n1/up1", "n1", "r1"))

    with pytest.raises(HarnessError, match="state from before is lost"):
        mending.expected(records, broken("n1/up1", "n1", "r1"))


def test_what_another_breaks_too_is_not_expected_yet(records: Records) -> None:
    records.keep_sound(SOUND)
    records.write(broken("n1/up1", "n1", "r1"))
    records.write(broken("n2/up1", "n2", "r1"))

    assert mending.expected(records, broken("n1/up1", "n1", "r1")) == {"n1 power": "on"}


def test_a_service_that_was_between_two_starts_is_no_difference_once_it_runs() -> None:
    before = {"n2 service kubelet": facts.GONE, "n2 service bird": facts.RUNS, "n2 power": "on"}
    after = {"n2 service kubelet": facts.RUNS, "n2 service bird": facts.GONE, "n2 power": "on"}

    assert facts.started(before, after) == {"n2 service kubelet": facts.RUNS}


def test_differences_name_what_went_and_what_came() -> None:
    found = facts.differences({"a x": "1", "b x": "1"}, {"b x": "2", "c x": "3"})

    assert found == [
        "a x: 1 before, absent now",
        "b x: 1 before, 2 now",
        "c x: absent before, 3 now",
    ]


def test_a_machine_that_went_meanwhile_is_left_out_with_what_follows() -> None:
    before = SOUND | {"n9 power": "on", "r1 bgp to_n9": "Established", "r1 link n9": "up"}

    found = facts.of_standing(before, ["n1", "n2", "r1"])

    assert found == {key: value for key, value in SOUND.items() if key != "n1 routes"}
    assert facts.of_standing(SOUND, ["n1", "n2", "r1", "n9"]) == SOUND


def resource_slice(*devices: str) -> dict[str, Any]:
    offers = [{"name": device} for device in devices]
    spec = {"driver": "gpu.nvidia.com", "nodeName": "n4", "devices": offers}
    return {"kind": "ResourceSlice", "metadata": {"name": "n4-gpu.nvidia.com"}, "spec": spec}


@pytest.mark.parametrize("devices", [("gpu-0", "gpu-1"), ("gpu-1",), ()])
def test_gpus_that_claims_bring_are_counted_in_the_resource_slice(devices: tuple[str, ...]) -> None:
    node = {"kind": "Node", "metadata": {"name": "n4"}, "status": {"allocatable": {"cpu": "2"}}}

    found = facts.offered([node, resource_slice(*devices)])

    assert found["n4"].get("gpu.nvidia.com", 0) == len(devices)


class Told(Case):
    """A case whose agents answer what they are told to."""

    answers: ClassVar[dict[str, list[Any]]]

    def ask(self, machine: str, op: str, **args: object) -> Any:  # noqa: ANN401 - as there
        return self.answers[op].pop(0)


def told(lab: Lab, handle: Handle, how: str, before: facts.Facts) -> Told:
    entry = MachineEntry(machine=handle.machine, id="a", op="process.signal", args={})
    return Told(
        lab=lab,
        topology=TOPOLOGY,
        handle=handle,
        order=BreakOptions(how=how, for_seconds=60),
        broken=replace(broken(handle.name, handle.machine), entries=[entry]),
        before=before,
    )


def test_a_killed_process_is_awaited_gone(lab: Lab, handles: dict[str, Handle]) -> None:
    case = told(lab, handles["n1/bird"], "kill", {})
    Told.answers = {
        "entry": [{"observed": {"pids": [7]}}],
        "service.state": [{"pid": pid} for pid in (7, 7, None)],
    }

    assert proofs.prove(case) == ["process 7 of n1/bird was killed"]


def test_gpu_of_which_the_api_told_nothing_before_has_no_proof(
    lab: Lab, handles: dict[str, Handle]
) -> None:
    case = told(lab, handles["n1/gpu0"], "unhealthy", {"api": "not ready"})

    with pytest.raises(FaultNotInjected, match="what n1 offers, was not ready before"):
        proofs.prove(case)


@pytest.mark.parametrize("before", ["not ready, clients from r1, r2", "ready, clients from nobody"])
def test_member_that_served_nobody_before_is_not_proven_lost(lab: Lab, before: str) -> None:
    etcd = Handle(name="cp1/etcd", kind=Kind.SERVICE, machine="cp1", part="etcd")
    case = told(lab, etcd, "stop", {"cp1 service etcd": "runs", "cp1 api": before})

    with pytest.raises(FaultNotInjected, match=f"the API of cp1 was {before} before"):
        proofs.prove(case)


@pytest.mark.parametrize(
    ("lost", "count", "ratio", "proven"),
    [
        (400, 2000, 0.2, True),
        (480, 2000, 0.2, True),
        (500, 2000, 0.2, False),
        (0, 15_000, 0.001, False),
        (2000, 2000, 1.0, True),
        (1999, 2000, 1.0, False),
    ],
)
def test_share_of_lost_frames_is_judged_as_chance_makes_it(
    lost: int, count: int, ratio: float, proven: bool
) -> None:
    judged = nullcontext() if proven else pytest.raises(FaultNotInjected, match="expected")

    with judged:
        assert "frames lost from a to b" in lost_in_words(lost, count, ratio, "from a to b")
    # The oracle: an exact test of another module of scipy.
    assert bool(scipy.stats.binomtest(lost, count, ratio).pvalue > 1e-6) is proven


def pod(*, ready: str = "True", started: str = "2026-01-01T10:00:05Z") -> dict[str, Any]:
    running = {"state": {"running": {"startedAt": started}}}
    conditions = [{"type": "Ready", "status": ready}]
    return {"status": {"conditions": conditions, "containerStatuses": [running]}}


SINCE = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "anew"),
    [
        (pod(), True),
        (pod(ready="False"), False),
        (pod(started="2026-01-01T09:59:59Z"), False),
    ],
)
def test_pods_run_anew_when_their_containers_started_since(
    found: dict[str, Any], anew: bool
) -> None:
    assert returned.run_anew([pod(), found], SINCE) is anew


@pytest.mark.parametrize("words", [("break", "n1/up1"), ("mend",), ("handles",), ("shell", "n1")])
def test_another_checkouts_lab_is_refused(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shape = topology_file.document(TOPOLOGY)
    record = LabRecord(
        checkout="/elsewhere", started_at="", complete=True, topology=shape, ports=Ports()
    )
    State(state_home()).write(record)

    with pytest.raises(LabError, match="the lab belongs to /elsewhere"):
        app(words, standalone_mode=False)


def unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_token_is_signed_as_rfc_7518_says() -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    head, claims, signature = tokens.sign(key, {"sub": "me", "exp": 5}).split(".")

    numbers = unpacked(signature)
    pair = int.from_bytes(numbers[:32], "big"), int.from_bytes(numbers[32:], "big")
    signed = f"{head}.{claims}".encode()
    key.public_key().verify(encode_dss_signature(*pair), signed, ec.ECDSA(hashes.SHA256()))
    assert json.loads(unpacked(head))["alg"] == "ES256"
    assert json.loads(unpacked(claims)) == {"sub": "me", "exp": 5}


@pytest.fixture
def logged(rack: Rack) -> Rack:
    """Logs of two services and of a pod whose container was started twice."""
    for name in ("n1", "n2"):
        rack.log(name, "kubelet").parent.mkdir(parents=True)
        rack.log(name, "kubelet").write_text("one\ntwo\nthree\n")
    pod = rack.var("n1") / "log/pods/kube-system_coredns-5d-x7_1234/coredns"
    pod.mkdir(parents=True)
    (pod / "0.log").write_text("former\n")
    (pod / "10.log").write_text("present\n")
    return rack


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("n1/kubelet", ["n1/kubelet"]),
        ("kubelet", ["n1/kubelet", "n2/kubelet"]),
        ("coredns", ["n1/kube-system/coredns-5d-x7/coredns"]),
        ("n1/kube-system/coredns-5d-x7/coredns", ["n1/kube-system/coredns-5d-x7/coredns"]),
    ],
)
def test_logs_are_found_by_machine_service_or_pod(
    logged: Rack, part: str, found: list[str]
) -> None:
    assert [name for name, _ in logs.find(logged, part)] == found


def test_log_of_nothing_is_refused(logged: Rack) -> None:
    with pytest.raises(ProfileError, match="no log of 'core'"):
        logs.find(logged, "core")


def test_newest_log_of_a_container_is_shown_from_its_end(logged: Rack) -> None:
    ((_, newest),) = logs.find(logged, "coredns")
    ((_, service),) = logs.find(logged, "n2/kubelet")

    assert logs.tail(newest, 5) == ["present"]
    assert logs.tail(service, 2) == ["two", "three"]


def test_logs_of_pods_are_copied_by_their_names(logged: Rack, tmp_path: Path) -> None:
    logs.copy_pods(logged, "n1", tmp_path / "copy")

    copied = tmp_path / "copy/kube-system/coredns-5d-x7/coredns.10.log"
    assert copied.read_text() == "present\n"
