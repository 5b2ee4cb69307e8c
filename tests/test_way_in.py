"""The route to the engines is found among whatever routes their namespace has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.stack import Stack
from hotfire.errors import HarnessError
from tests.chaos.platform import profile_for
from tests.fake_api import FakeApi, connect, serving


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def stack(api: FakeApi, tmp_path: Path) -> Iterator[Stack]:
    with serving(api) as address:
        yield Stack(connect(address), profile_for(tmp_path, address))


def put_route(api: FakeApi, stack: Stack, name: str, *backends: str) -> None:
    rule = {"backendRefs": [{"name": backend, "port": 80} for backend in backends]}
    api.put(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": stack.namespace},
            "spec": {"rules": [rule]},
        }
    )


def test_the_only_route_is_it_whatever_it_leads_to(api: FakeApi, stack: Stack) -> None:
    put_route(api, stack, "models", "pool")

    assert stack.way_in()["metadata"]["name"] == "models"


def test_of_several_it_is_the_one_that_splits(api: FakeApi, stack: Stack) -> None:
    put_route(api, stack, "docs", "pages")
    put_route(api, stack, "models", "vllm", "canary")

    assert stack.way_in()["metadata"]["name"] == "models"


@pytest.mark.parametrize("names", [[], ["models", "docs"]])
def test_a_guess_is_not_made(api: FakeApi, stack: Stack, names: list[str]) -> None:
    for name in names:
        put_route(api, stack, name, "pool")

    with pytest.raises(HarnessError, match="two backends"):
        stack.way_in()
