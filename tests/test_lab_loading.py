"""An archive of images is one, or the one line says what it is instead."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.cluster import loading
from hotfire.lab.machine import node_files
from hotfire.lab.shape.state import State
from hotfire.lab.shape.topology import Topology


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "lab").mkdir()
    return State(tmp_path / "lab")


def archive(path: Path, member: str, data: bytes = b"[]") -> Path:
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return path


def keep(state: State, path: Path) -> None:
    with loading.kept(state, path):
        pass


@pytest.mark.parametrize("member", ["manifest.json", "./index.json"])
def test_archive_that_was_loaded_stays_with_the_lab(
    state: State, tmp_path: Path, member: str
) -> None:
    path = archive(tmp_path / "image.tar", member)

    keep(state, path)
    keep(state, path)

    [kept] = loading.loaded(state)
    assert kept.read_bytes() == path.read_bytes()


def test_archive_that_a_worker_refused_does_not_stay(state: State, tmp_path: Path) -> None:
    path = archive(tmp_path / "image.tar", "index.json")

    with pytest.raises(LabError, match="no match"), loading.kept(state, path):
        raise LabError("no match for platform")

    assert list(state.loaded.iterdir()) == []


def test_what_was_loaded_last_comes_last(state: State, tmp_path: Path) -> None:
    for number in (1, 2, 1):
        keep(state, archive(tmp_path / "image.tar", "index.json", b"%d" % number))

    last = loading.loaded(state)[-1]

    assert b"1" in last.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no tar archive"),
        (gzip.compress(b"x" * 4096), "is no tar archive, or a compressed one"),
        (None, "cannot be read: No such file"),
    ],
    ids=["empty", "compressed", "absent"],
)
def test_what_is_no_archive_is_one_line(
    state: State, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "image.tar"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(LabError, match=said):
        keep(state, path)


def test_archive_of_something_else_is_one_line(state: State, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"holds no images: no index.json or manifest.json"):
        keep(state, archive(tmp_path / "backup.tar", "etc/passwd"))


def test_only_a_worker_without_gpus_keeps_most_of_the_host_from_its_pods() -> None:
    topology = Topology(cpu_nodes=1)

    kept = {
        node.name: json.loads(node_files.files(topology, node)["/etc/kubernetes/kubelet.json"]).get(
            "systemReserved"
        )
        for node in topology.workers
    }

    assert [name for name, reserved in kept.items() if reserved] == ["c1"]
    assert kept["c1"].keys() == {"cpu", "memory"}
