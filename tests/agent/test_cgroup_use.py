"""What a container uses is read from its cgroups, of either version."""

from pathlib import Path

import pytest

from hotfire.agent import cgroup
from hotfire.agent.host import Host

POD, CONTAINER = "11111111-2222-3333-4444-555555555555", "c0ffee" * 4
GROUP = f"pod{POD}/{CONTAINER}"
V1 = {
    f"memory/{GROUP}/memory.usage_in_bytes": "5000",
    f"memory/{GROUP}/memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n",
    f"cpuacct/{GROUP}/cpuacct.usage": "70000",
}
V2 = {
    "cgroup.controllers": "cpu memory",
    f"{GROUP}/memory.current": "5000",
    f"{GROUP}/memory.stat": "anon 3000\ninactive_file 2000\n",
    f"{GROUP}/cpu.stat": "usage_usec 70\nuser_usec 60\n",
}


@pytest.mark.parametrize("files", [V1, V2], ids=["v1", "v2"])
def test_file_pages_that_nobody_reads_are_not_in_use(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    host = Host(prefix=(), root=tmp_path)
    found = cgroup.use(host, {"pod_uid": POD, "container_id": CONTAINER})

    assert (found["working_set_bytes"], found["processor_ns"]) == (3000, 70_000)
