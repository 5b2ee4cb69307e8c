"""What lets nobody judge a target is refused before anything is recorded, with its remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from hotfire import cli
from hotfire.cli.refusal import refuse_impossible
from hotfire.errors import ProfileError
from hotfire.profile import TargetProfile
from tests.fake_api import FakeApi, serving
from tests.foreign_cluster import foreign_cluster, route
from tests.test_doctor import FIELDS, Says, gateway, kubeconfig


@contextmanager
def target(tmp_path: Path, api: FakeApi, says: Says, **changes: object) -> Iterator[Path]:
    path = tmp_path / "target.yaml"
    with serving(api) as address, gateway(says) as url:
        fields = {"kubeconfig": kubeconfig(tmp_path, address), "gateway": {"url": url}}
        path.write_text(yaml.safe_dump(FIELDS | fields | changes))
        yield path


def refused(path: Path) -> list[str]:
    """Return what is said before a target is refused; nothing where it is not."""
    said: list[str] = []
    try:
        refuse_impossible(TargetProfile.read(path), said.append)
    except ProfileError as error:
        return [*said, str(error)]
    return []


@pytest.mark.parametrize(
    ("says", "line"),
    [
        (Says(status=401), "it wants a key: set gateway.bearer_token or gateway.headers"),
        (Says(models=["mistral"]), "is not served at"),
        (Says(status=404, chat_status=404), "404 from"),
    ],
)
def test_a_way_in_that_is_closed_is_refused(tmp_path: Path, says: Says, line: str) -> None:
    with target(tmp_path, foreign_cluster(), says) as path:
        [said, summary] = refused(path)

    assert said.startswith("no  gateway")
    assert line in said
    assert summary.startswith("acme: nothing can be judged before")


@pytest.mark.parametrize("says", [Says(), Says(chat_status=503), Says(chat_status=500)])
def test_what_the_target_does_is_for_the_checks_to_judge(tmp_path: Path, says: Says) -> None:
    with target(tmp_path, foreign_cluster(), says) as path:
        assert refused(path) == []


def test_engines_that_are_not_ready_yet_are_waited_for(tmp_path: Path) -> None:
    api = foreign_cluster()
    for name in api.names("pods"):
        pod = api.objects["v1", "pods", "chat", name]
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]

    with target(tmp_path, api, Says()) as path:
        assert refused(path) == []


def test_a_gateway_without_an_address_is_named_where_nothing_answers(tmp_path: Path) -> None:
    api = foreign_cluster()
    route(api, address=None)
    away = {"gateway": {"url": "http://127.0.0.1:1"}}

    with target(tmp_path, api, Says(), **away) as path:
        [cause, said, _] = refused(path)

    assert "Gateway edge/public has no address" in cause
    assert said.startswith("no  gateway")


def test_a_selector_that_takes_nothing_is_refused_with_those_it_may_have_meant(
    tmp_path: Path,
) -> None:
    engine = {"model": "llama", "selector": {"app": "other"}}

    with target(tmp_path, foreign_cluster(), Says(), engine=engine) as path:
        [said, _] = refused(path)

    assert "set it to {'app': 'llama'}" in said


def test_an_engine_without_accelerators_is_none_the_less_one(tmp_path: Path) -> None:
    api = foreign_cluster()
    for name in api.names("pods"):
        [container] = api.objects["v1", "pods", "chat", name]["spec"]["containers"]
        container.pop("resources", None)

    with target(tmp_path, api, Says()) as path:
        assert refused(path) == []


def test_what_every_run_needs_and_we_may_not_is_refused(tmp_path: Path) -> None:
    api = foreign_cluster()
    api.forbidden = {("create", "leases")}

    with target(tmp_path, api, Says()) as path:
        [said, _] = refused(path)

    assert said.startswith("no  permissions")
    assert "create leases" in said


def test_a_reference_stack_that_is_not_there_yet_is_no_hindrance(tmp_path: Path) -> None:
    away = {"gateway": {"url": "http://127.0.0.1:1"}, "stack": {"deploy": True}}

    with target(tmp_path, FakeApi(), Says(), **away) as path:
        assert refused(path) == []


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "log in again, or renew it"), (403, "hotfire doctor --rbac | kubectl apply -f -")],
)
def test_credentials_that_nobody_takes_are_one_line_and_nothing_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, remedy: str
) -> None:
    api, run = foreign_cluster(), tmp_path / "run"
    api.refuse_discovery = status
    with target(tmp_path, api, Says()) as path:
        code = cli.run(["certify", "--target", str(path), "--run-dir", str(run)])

    told = capsys.readouterr().err
    assert code == cli.BAD_ARGUMENTS
    assert told.startswith("hotfire: kubeconfig: ")
    assert told.count("\n") == 1
    assert remedy in told
    assert not run.exists()
