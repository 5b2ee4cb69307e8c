"""A kubeconfig as people have it leads to its cluster, or one line says what is wrong with it."""

import re
import time
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from hotfire import cli
from hotfire.cluster import Cluster
from hotfire.cluster.kubeconfig import configuration
from hotfire.errors import ClusterError
from hotfire.private_folder import private_folder
from hotfire.profile import TargetProfile
from tests.fake_api import FakeApi, serving

TARGET = "name: t\ngateway: {url: 'http://127.0.0.1:1'}\nengine: {model: m}\nbudgets: lab\n"


def target(folder: Path, more: str = "kubeconfig: k\n") -> Path:
    path = folder / "target.yaml"
    path.write_text(TARGET + more)
    return path


def connected(folder: Path, more: str = "kubeconfig: k\n") -> str:
    return Cluster.connect(TargetProfile.read(target(folder, more))).uid()


def kubeconfig(path: Path, address: str, *, user: str = "{}", cluster: str = "") -> None:
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: '{address}'{cluster}}}}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        f"users: [{{name: u, user: {user}}}]\n"
    )


@pytest.mark.parametrize("user", ["{}", "null"])
def test_a_user_without_fields_shows_nothing_and_is_let_in(user: str, tmp_path: Path) -> None:
    with serving(FakeApi()) as address:
        kubeconfig(tmp_path / "k", address, user=user)

        assert connected(tmp_path)


BROKEN = {
    "empty": (b"", "file is empty"),
    "no YAML": (b"a: [\n", "no YAML"),
    "no text": (b"\xff\xfe\x00bad", "no text"),
    "a list": (b"[1]", "not of a kubeconfig's shape"),
    "a word": (b"word", "not of a kubeconfig's shape"),
    "without clusters": (b"current-context: c\n", "not of a kubeconfig's shape|Invalid"),
}


@pytest.mark.parametrize(("content", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_kubeconfig_is_told_in_one_line(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(content)

    with pytest.raises(ClusterError, match=told) as caught:
        connected(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("user", "cluster", "told"),
    [
        ("{}", ", certificate-authority-data: 'zzz'", "no base64"),
        ("{}", ", certificate-authority: missing.pem", "missing.pem"),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws-not-here,"
            " installHint: install the aws CLI, interactiveMode: Never}}",
            "",
            "'aws-not-here' failed: .*No such file.*install the aws CLI",
        ),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh,"
            " args: [-c, 'echo the session has expired >&2; exit 3'], interactiveMode: Never}}",
            "",
            "the session has expired",
        ),
    ],
)
def test_what_a_kubeconfig_names_in_vain_is_told(
    user: str, cluster: str, told: str, tmp_path: Path
) -> None:
    kubeconfig(tmp_path / "k", "https://127.0.0.1:1", user=user, cluster=cluster)

    with pytest.raises(ClusterError, match=told):
        connected(tmp_path)


def test_a_credential_plugin_that_hangs_is_ended_and_told(tmp_path: Path) -> None:
    plugin = "{apiVersion: client.authentication.k8s.io/v1, command: sleep, args: ['60']}"
    kubeconfig(tmp_path / "k", "https://127.0.0.1:1", user=f"{{exec: {plugin}}}")
    began = time.monotonic()

    with pytest.raises(ClusterError, match="'sleep' failed: no answer within waits") as caught:
        connected(tmp_path, more="kubeconfig: k\nwaits: {credentials_seconds: 0.2}\n")

    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 10


def test_without_a_kubeconfig_the_service_account_of_the_pod_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))

    with pytest.raises(ClusterError, match="no pod with a service account"):
        connected(tmp_path, more="")


def test_certify_refuses_a_kubeconfig_that_leads_nowhere_before_it_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "k").write_text("a: [\n")
    run = tmp_path / "run"

    code = cli.run(["certify", "--target", str(target(tmp_path)), "--run-dir", str(run)])

    assert code == cli.BAD_ARGUMENTS
    assert not run.exists()
    assert re.fullmatch(r"hotfire: kubeconfig: [^\n]*no YAML[^\n]*\n", capsys.readouterr().err)


def test_keys_are_written_where_they_end_with_the_process(tmp_path: Path) -> None:
    user = "{client-certificate-data: c2VjcmV0, client-key-data: a2V5}"
    kubeconfig(tmp_path / "k", "https://127.0.0.1:1", user=user)

    found = configuration(TargetProfile.read(target(tmp_path, "kubeconfig: k\n")))

    assert Path(found.key_file).read_text() == "key"
    assert Path(found.key_file).is_relative_to(private_folder())
