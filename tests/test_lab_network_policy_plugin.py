"""The network plugin holds a pod back until the agent governs it, and never for good."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from hotfire.lab.programs.network_policy import cni_plugin
from hotfire.lab.programs.network_policy.agent import Agent
from hotfire.lab.programs.network_policy.served import serve_plugin
from hotfire.waiting import until

PROGRAM = Path(cni_plugin.__file__)
ADDED = {"cniVersion": "1.0.0", "ips": [{"address": "10.244.1.7/24"}], "interfaces": []}


def plugin(command: str, config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    names = "IgnoreUnknown=1;K8S_POD_NAMESPACE=red;K8S_POD_NAME=web"
    return subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM)],
        input=json.dumps(config),
        env={"CNI_COMMAND": command, "CNI_ARGS": names},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_result_of_the_plugins_before_is_passed_on_where_no_agent_is() -> None:
    done = plugin("ADD", {"cniVersion": "1.0.0", "prevResult": ADDED})

    assert json.loads(done.stdout) == ADDED
    assert "red web 10.244.1.7 starts ungoverned" in done.stderr


def test_plugin_says_which_versions_it_speaks() -> None:
    assert "1.0.0" in json.loads(plugin("VERSION", {}).stdout)["supportedVersions"]


def test_removal_needs_no_agent() -> None:
    done = plugin("DEL", {"cniVersion": "1.0.0"})

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pod_is_held_back_until_the_kernel_has_its_rules(tmp_path: Path) -> None:
    path, applied = tmp_path / "run" / "agent.sock", threading.Event()
    agent, stop = Agent("n1", lambda _text: applied.set()), threading.Event()
    threading.Thread(target=serve_plugin, args=(agent, path), daemon=True).start()
    threading.Thread(target=agent.run, args=(stop,), daemon=True).start()
    until(path.exists, within_seconds=10, what="the agent's socket")

    for kind in ("namespaces", "policies"):
        agent.sink(kind).replace([])
    metadata, spec = {"namespace": "red", "name": "web"}, {"nodeName": "n1", "containers": []}
    agent.sink("pods").replace([{"metadata": metadata, "spec": spec}])

    assert cni_plugin.tell(str(path), "red web 10.244.1.7\n")
    assert applied.is_set()
    stop.set()


def test_agent_needs_nothing_but_its_own_directory(tmp_path: Path) -> None:
    shutil.copytree(PROGRAM.parent, tmp_path / "network_policy")
    program = (
        f"import sys; sys.path.append({str(tmp_path)!r}); import network_policy.__main__ as m;"
        "print(sorted({'hotfire', 'pydantic', 'kubernetes'} & set(sys.modules)), m.__package__)"
    )

    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )

    assert said.stdout == "[] network_policy\n"
