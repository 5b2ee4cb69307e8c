"""A node's memory as its kubelet counts it, in either version of cgroups."""

from pathlib import Path

import pytest

from hotfire.agent import cgroup
from hotfire.agent.host import Host, OperationError

MEMINFO = "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 100 kB\nHugePages_Total: 0\n"
V1 = {
    "memory/memory.usage_in_bytes": str(700 * 1024),
    "memory/memory.stat": f"total_inactive_file {100 * 1024}\n",
}
V2 = {"cgroup.controllers": "cpu memory"}


def host(folder: Path, files: dict[str, str]) -> Host:
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "meminfo").write_text(MEMINFO)
    # Whatever is read, it is this file.
    return Host(prefix=("sh", "-c", f"cat {folder}/meminfo"), root=folder)


@pytest.mark.parametrize("files", [V1, V2], ids=["v1", "v2"])
def test_file_pages_that_nobody_reads_are_free(files: dict[str, str], tmp_path: Path) -> None:
    found = cgroup.room(host(tmp_path, files), {})

    assert found == {"total_bytes": 1000 * 1024, "free_bytes": 400 * 1024}


def test_a_misspelt_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="unknown: path"):
        cgroup.room(host(tmp_path, V2), {"path": "/"})
