"""What a night is made of: the account of the pod, the CronJob, and the page's own pipelines."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config, kube_config

from hotfire import cli
from hotfire.cluster.kubeconfig import configuration
from hotfire.doctor.roles import NAME, NAMESPACE, roles
from hotfire.own_folders import project_root
from hotfire.profile import TargetProfile
from hotfire.requirement import Scope

PAGE = (project_root() / "docs" / "nightly.md").read_text(encoding="utf-8")
TARGET = "name: t\ngateway: {url: 'http://127.0.0.1:1'}\nengine: {model: m}\nbudgets: lab\n"


@pytest.fixture
def profile(tmp_path: Path) -> TargetProfile:
    (tmp_path / "target.yaml").write_text(TARGET)
    return TargetProfile.read(tmp_path / "target.yaml")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The token file of a pod that we are: what the kubelet mounts, and says in variables."""
    for name, text in (("SERVICE_TOKEN_FILENAME", "one"), ("SERVICE_CERT_FILENAME", "PEM")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(incluster_config, name, str(tmp_path / name))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return tmp_path / "SERVICE_TOKEN_FILENAME"


def test_without_a_kubeconfig_it_is_the_service_account_of_its_pod(
    profile: TargetProfile, token: Path
) -> None:
    found = configuration(profile)

    assert found.host == "https://[fd00::1]:443"
    assert found.get_api_key_with_prefix("BearerToken", alias="authorization") == "bearer one"
    assert found.ssl_ca_cert == str(token.with_name("SERVICE_CERT_FILENAME"))


def test_token_that_the_kubelet_renewed_is_shown_from_then_on(
    profile: TargetProfile, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(incluster_config.datetime.datetime):  # type: ignore[misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:  # noqa: ANN401 - as its parent's
            return super().now(tz) + incluster_config.datetime.timedelta(hours=1)

    found = configuration(profile)
    token.write_text("two")
    monkeypatch.setattr(incluster_config.datetime, "datetime", Later)

    assert found.get_api_key_with_prefix("BearerToken", alias="authorization") == "bearer two"


def test_the_cron_job_runs_as_the_account_that_the_printed_roles_are_for(
    profile: TargetProfile,
) -> None:
    made = {one["kind"]: one for one in yaml.safe_load_all(nightly())}
    printed = {one["kind"]: one["metadata"] for one in roles((), profile)}
    pod = made["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]

    assert printed["ServiceAccount"] == {"name": NAME, "namespace": NAMESPACE}
    assert pod["serviceAccountName"] == NAME
    assert {one["metadata"]["namespace"] for one in made.values()} == {NAMESPACE}
    claim = {v["name"]: v for v in pod["volumes"]}["runs"]["persistentVolumeClaim"]["claimName"]
    assert made["PersistentVolumeClaim"]["metadata"]["name"] == claim


def test_the_cron_job_keeps_the_runs_and_tries_nothing_twice() -> None:
    job = {one["kind"]: one for one in yaml.safe_load_all(nightly())}["CronJob"]["spec"]
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}

    assert (job["concurrencyPolicy"], job["jobTemplate"]["spec"]["backoffLimit"]) == ("Forbid", 0)
    assert pod["restartPolicy"] == "Never"
    assert container["workingDir"] == mounted["runs"]
    assert container["args"][:3] == ["certify", "--target", f"{mounted['target']}/target.yaml"]


def test_every_pipeline_of_the_page_asks_for_what_the_command_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.run(["certify", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    said = re.findall(r"hotfire certify ([^|\n#]*)", PAGE)

    options = {word for each in said for word in each.split() if word.startswith("--")}

    assert {"--target", "--scope"} <= options <= known
    assert {each.split("--scope ")[1].split()[0] for each in said if "--scope" in each} <= set(
        Scope
    )


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_pipeline_of_the_page_is_yaml_that_keeps_the_exit_code(block: str) -> None:
    assert yaml.safe_load(block)
    assert "runs" in block
    assert "hotfire certify" in block
    assert "|| true\n" not in block.replace('"$GITHUB_STEP_SUMMARY" || true\n', "")


def nightly() -> str:
    return (project_root() / "deploy" / "nightly.yaml").read_text(encoding="utf-8")
