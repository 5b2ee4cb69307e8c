"""What is not hotfire's to use is told in one line, before anything is recorded or changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire import cli, own_folders
from hotfire.chaos import holders
from hotfire.chaos.lease import RunLease
from hotfire.cluster import namespaces
from tests.chaos.platform import NAMESPACE, SYSTEM, profile_for
from tests.fake_api import FakeApi, connect, serving

FIELDS = "gateway: {url: http://127.0.0.1:1}\nengine: {model: tiny}\nbudgets: lab\n"


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def address(api: FakeApi) -> Iterator[str]:
    with serving(api) as address:
        yield address


@pytest.fixture
def target(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A target file beside a checkout without suites, whose runs are ours."""
    (tmp_path / "suites").mkdir()
    monkeypatch.setattr(own_folders, "__file__", str(tmp_path / "src/hotfire/own_folders.py"))
    profile_for(tmp_path, address)
    path = tmp_path / "target.yaml"
    path.write_text(f"name: acme\nkubeconfig: kubeconfig\n{FIELDS}")
    return str(path)


def only_read(api: FakeApi) -> bool:
    return {one.partition(" ")[0] for one in api.requests} == {"GET"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            NAMESPACE,
            f"hotfire: namespace: {NAMESPACE} exists and is not hotfire's; name another, or set"
            " stack.deploy: false\n",
        ),
        (SYSTEM, f"hotfire: system_namespace: {SYSTEM} exists and is not hotfire's; name another"),
    ],
)
def test_a_namespace_of_somebody_else(
    target: str, api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    name: str, line: str,
) -> None:  # fmt: skip
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    assert cli.run(["certify", "--target", target]) == cli.BAD_ARGUMENTS

    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1
    assert only_read(api)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("command", "code"), [("certify", 254), ("heal", 255)])
def test_a_run_that_is_alive(
    target: str, address: str, capsys: pytest.CaptureFixture[str], command: str, code: int
) -> None:
    cluster = connect(address)
    namespaces.create(cluster, SYSTEM, run_id="a")
    held = RunLease(
        cluster, SYSTEM, run_id="a", lease_seconds=60, on_lost=lambda: None, target="team-a"
    )

    with held:
        assert cli.run([command, "--target", target]) == code

        found = holders.holder(cluster, SYSTEM)
        assert found
        assert found.run_id == "a"
    told = capsys.readouterr().err
    assert told.startswith("hotfire: run a (team-a on ")
    assert " since " in told
    assert told.count("\n") == 1
