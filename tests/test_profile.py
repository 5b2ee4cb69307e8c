"""A target file is read strictly, and a mistake in it is answered with its remedy."""

import ast
import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import BaseModel

from hotfire import yaml_text
from hotfire.errors import ProfileError
from hotfire.profile import PRESETS, TargetProfile

MINIMAL = """\
name: acme
gateway: {url: http://10.96.0.80}
engine: {model: tiny}
budgets: lab
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "target.yaml"
        path.write_text(text)
        return path

    return write


def test_minimal_file_gets_the_defaults(write: Write) -> None:
    profile = TargetProfile.read(write(MINIMAL))

    assert profile.budgets == PRESETS["lab"]
    assert profile.allowed_namespaces == ["hotfire-stack"]
    assert profile.gateway.reachable_url == "http://10.96.0.80"
    assert profile.engine.label_selector == "app=vllm"


def test_own_namespace_is_the_only_one_allowed_by_default(write: Write) -> None:
    profile = TargetProfile.read(write(MINIMAL + "namespace: serving\n"))

    assert profile.allowed_namespaces == ["serving"]


def test_namespace_of_a_stack_of_ours_may_always_be_touched(write: Write) -> None:
    fields = "namespace: serving\nallowed_namespaces: [gateways]\n"

    ours = TargetProfile.read(write(MINIMAL + fields))
    foreign = TargetProfile.read(write(MINIMAL + fields + "stack: {deploy: false}\n"))

    assert ours.allowed_namespaces == ["gateways", "serving"]
    assert foreign.allowed_namespaces == ["gateways"]


@pytest.mark.parametrize(
    "fields",
    [
        "system_namespace: hotfire-stack\n",
        "namespace: serving\nsystem_namespace: serving\n",
        "allowed_namespaces: [serving, hotfire-system]\n",
    ],
)
def test_the_namespace_that_is_removed_must_be_one_of_its_own(write: Write, fields: str) -> None:
    with pytest.raises(ProfileError, match=r"system_namespace: .* must be a namespace of its own"):
        TargetProfile.read(write(MINIMAL + fields))


def test_kubeconfig_is_found_beside_the_target_file(write: Write, tmp_path: Path) -> None:
    profile = TargetProfile.read(write(MINIMAL + "kubeconfig: conf/admin.yaml\n"))

    assert profile.kubeconfig == tmp_path / "conf" / "admin.yaml"


def test_preset_can_be_adjusted_limit_by_limit(write: Write) -> None:
    text = MINIMAL.replace("budgets: lab", "budgets: {preset: mlperf-llama2-70b, lost_streams: 3}")

    budgets = TargetProfile.read(write(text)).budgets

    assert (budgets.ttft_p99_seconds, budgets.tpot_p99_seconds) == (2.0, 0.2)
    assert budgets.lost_streams == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "namespac: x\n", "namespac: no such field, did you mean 'namespace'?"),
        (MINIMAL + "waits: {pod_redy_seconds: 3}\n", "waits.pod_redy_seconds: no such field, did"),
        (MINIMAL + "fabric: {zzz: 3}\n", "fabric.zzz: no such field, known are uplinks"),
        (
            MINIMAL + "fault_budgets: {FLT-POD-001: {eror_ratio: 0.1}}\n",
            "fault_budgets.FLT-POD-001.eror_ratio: no such field, did you mean 'error_ratio'?",
        ),
        (
            MINIMAL + "fault_budgets: {error_ratio: {zzz: 1}}\n",
            "fault_budgets.error_ratio.zzz: no such field, known are error_ratio",
        ),
        (MINIMAL.replace("name: acme\n", ""), "name: required, add it"),
        (
            MINIMAL + "stack: {roles: {prefil: {app: x}}}\n",
            "stack.roles.prefil: Input should be 'engine', 'prefill', 'decode', 'router'",
        ),
        (
            MINIMAL + "stack: {roles: {picker: {}}}\n",
            "stack.roles.picker: Dictionary should have at least 1 item",
        ),
        (
            MINIMAL + "stack: {roles: {picker: {app: a b}}}\n",
            "stack.roles.picker.app: String should match pattern",
        ),
        (
            MINIMAL + "stack: {roles: {prefill: {app: x}, decode: {app: x}}}\n",
            "stack.roles: decode has the selector of prefill; name labels that differ",
        ),
        (
            MINIMAL + "clients: {tenants: {a: {headers: {X-Api-Key: swordfish}}}}\n",
            "clients.tenants.a.headers: the value of X-Api-Key would be a secret: it is kept",
        ),
        (
            MINIMAL + "clients: {tenants: {a: {headers: {}}}}\n",
            "clients.tenants.a.headers: Value should have at least 1 item",
        ),
        (
            MINIMAL + "clients: {tenants: {a: {headers: {X: '${env:A}'}, modles: [x]}}}\n",
            "clients.tenants.a.modles: no such field, did you mean 'models'?",
        ),
        (
            MINIMAL + "clients: {refused: {old: {X: '${env:A}'}}}\n",
            "clients.refused.old: Input should be 'expired', 'other-issuer' or 'other-audience'",
        ),
        (MINIMAL.replace("budgets: lab\n", ""), "budgets: required, add it"),
        (MINIMAL.replace("budgets: lab", "budgets: labs"), "budgets: no preset 'labs'; there are"),
        (MINIMAL.replace("http://10.96.0.80", "10.96.0.80"), "gateway.url: "),
        (MINIMAL + "load: {rate_per_second: .nan}\n", "load.rate_per_second: "),
        ("- name\n", "expected a mapping"),
        ("name: [\n", "not YAML"),
    ],
)
def test_mistake_names_file_field_and_remedy(write: Write, text: str, message: str) -> None:
    path = write(text)

    with pytest.raises(ProfileError) as caught:
        TargetProfile.read(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "gateway",
    [
        "{url: 'http://user:hunter2@10.96.0.80'}",
        "{url: 'https://hunter2@llm.example.org:8443'}",
        "{url: 'http://10.96.0.80', host_url: 'http://user:hunter2@127.0.0.1:80'}",
    ],
)
def test_credentials_in_a_gateways_url_are_refused_and_not_quoted(
    write: Write, gateway: str
) -> None:
    text = MINIMAL.replace("{url: http://10.96.0.80}", gateway)

    with pytest.raises(ProfileError) as caught:
        TargetProfile.read(write(text))

    field = "gateway.host_url" if "host_url" in gateway else "gateway.url"
    assert f"{field}: no place for a user name or password" in str(caught.value)
    assert "name them in the headers of a plan" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read: No such file"):
        TargetProfile.read(tmp_path / "none.yaml")


def sections(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield section
    for field in section.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from sections(field.annotation)


def described(section: type[BaseModel]) -> set[str]:
    """Return the names of the fields that a docstring follows, of a section and of its bases."""
    own = [one for one in section.__mro__ if issubclass(one, BaseModel) and one is not BaseModel]
    bodies = [ast.parse(dedent(inspect.getsource(one))).body[0] for one in own]
    return {
        field.target.id
        for body in bodies
        for field, said in pairwise(getattr(body, "body", ()))
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
    }


def test_every_field_is_described() -> None:
    undescribed = [
        f"{section.__name__}.{name}"
        for section in sections(TargetProfile)
        for name in section.model_fields.keys() - described(section)
    ]

    assert undescribed == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://10.0.0.1/v1", "drop the path"),
        ("http://10.0.0.1:0", "port 0 is no port"),
        ("http://10.0.0.1:99999", "port out of range"),
        ("http://10.0.0.1:abc", "port could not be cast"),
        ("http://10.0.0.1?api_key=hunter2hunter2", "no place for a query"),
        ("localhost:8000", "expected http://host"),
        ("http://", "expected http://host"),
    ],
)
def test_a_gateway_is_named_by_scheme_and_authority(url: str, told: str, write: Write) -> None:
    text = MINIMAL.replace("http://10.96.0.80", f"'{url}'")

    with pytest.raises(ProfileError, match=rf"gateway\.url: .*{told}") as caught:
        TargetProfile.read(write(text))
    assert "hunter2" not in str(caught.value)


def test_a_key_that_comes_twice_is_refused_with_its_place(write: Write) -> None:
    with pytest.raises(ProfileError, match=r"'name' comes twice, drop one.*line \d"):
        TargetProfile.read(write(MINIMAL + "name: other\n"))


def test_what_is_no_yaml_is_told_by_its_place_and_not_quoted(write: Write) -> None:
    with pytest.raises(ProfileError, match=r"not YAML: .*line 5, column \d+") as caught:
        TargetProfile.read(write(MINIMAL + "prometheus_url: [hunter2hunter2?}\n"))
    assert "hunter2" not in str(caught.value)


def test_a_merged_key_may_be_written_over() -> None:
    assert yaml_text.read("a: &a {x: 1}\nb: {<<: *a, x: 2}")["b"] == {"x": 2}


def test_credentials_of_prometheus_stay_in_the_target_file(write: Write) -> None:
    address = "prometheus_url: 'http://me:hunter2hunter2@prometheus:9090/p'\n"

    profile = TargetProfile.read(write(MINIMAL + address))

    assert profile.model_dump(mode="json")["prometheus_url"] == "http://prometheus:9090/p"
    assert "hunter2" not in profile.model_dump_json()
