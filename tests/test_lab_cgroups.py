"""Control groups of both versions, over a file tree that looks like the kernel's."""

from pathlib import Path

import pytest

from hotfire.lab.machine import cgroups


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for controller in ("cpu", "cpuacct", "cpuset", "memory"):
        (tmp_path / controller).mkdir()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0")
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The kernel fills a new group with files; this tree must have them before.
    for directory in (tmp_path, tmp_path / "hotfire"):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.controllers").write_text("cpu memory")
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    return tmp_path


def test_v1_machine_joins_every_mounted_controller(v1: Path) -> None:
    joined = cgroups.create("n1")

    wanted = ("cpu", "cpuacct", "cpuset", "memory")
    assert joined == [v1 / each / "hotfire" / "n1" / "cgroup.procs" for each in wanted]


def test_v1_cpuset_is_filled_for_it_is_born_empty(v1: Path) -> None:
    cgroups.create("n1")

    assert (v1 / "cpuset" / "hotfire" / "n1" / "cpuset.cpus").read_text() == "0-1"
    assert (v1 / "cpuset" / "hotfire" / "n1" / "cpuset.mems").read_text() == "0"


def test_v2_machine_joins_the_one_hierarchy_with_all_controllers(v2: Path) -> None:
    joined = cgroups.create("n1")

    assert joined == [v2 / "hotfire" / "n1" / "cgroup.procs"]
    for ancestor in (v2, v2 / "hotfire"):
        assert (ancestor / "cgroup.subtree_control").read_text() == "+cpu +memory"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_control_plane_weighs_more_than_a_worker(
    version: str, request: pytest.FixtureRequest
) -> None:
    root: Path = request.getfixturevalue(version)
    name = "cpu/hotfire/{}/cpu.shares" if version == "v1" else "hotfire/{}/cpu.weight"

    for machine in ("cp1", "n1"):
        cgroups.create(machine)

    weights = [int((root / name.format(machine)).read_text()) for machine in ("cp1", "n1")]
    assert weights[0] == 4 * weights[1]


def test_processes_of_nested_groups_count_once(v1: Path) -> None:
    for controller in ("cpu", "memory"):
        pod = v1 / controller / "hotfire" / "n1" / "pod"
        pod.mkdir(parents=True)
        (pod / "cgroup.procs").write_text("17\n18\n")
        (pod.parent / "cgroup.procs").write_text("16\n")

    assert cgroups.processes("n1") == {16, 17, 18}
    assert cgroups.processes("n2") == set()


def test_empty_groups_are_removed_and_busy_ones_are_told(v1: Path) -> None:
    (v1 / "cpu" / "hotfire" / "n1" / "pod").mkdir(parents=True)
    (v1 / "memory" / "hotfire" / "n1").mkdir(parents=True)
    (v1 / "memory" / "hotfire" / "n1" / "stays").touch()

    cgroups.remove()

    assert cgroups.left() == [v1 / "memory" / "hotfire" / "n1", v1 / "memory" / "hotfire"]


def test_memory_is_told_without_page_cache_on_v1(v1: Path) -> None:
    group = v1 / "memory" / "hotfire" / "n1"
    group.mkdir(parents=True)
    (group / "memory.stat").write_text("total_cache 900\ntotal_rss 100\ntotal_shmem 20\n")

    assert cgroups.memory_bytes("n1") == 120


def test_memory_and_cpu_are_told_on_v2(v2: Path) -> None:
    (v2 / "hotfire" / "memory.stat").write_text("anon 100\nfile 900\nshmem 20\n")
    (v2 / "hotfire" / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")

    assert cgroups.memory_bytes() == 120
    assert cgroups.cpu_seconds() == 1.5
