"""A platform in miniature, reached by the real client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.chaos.plan import World
from hotfire.cluster import Cluster
from hotfire.profile import TargetProfile
from tests.chaos.platform import Platform, profile_for, world_for
from tests.fake_api import FakeApi, connect, serving


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def platform(api: FakeApi) -> Platform:
    return Platform(api)


@pytest.fixture
def address(api: FakeApi) -> Iterator[str]:
    with serving(api) as address:
        yield address


@pytest.fixture
def cluster(address: str) -> Cluster:
    return connect(address)


@pytest.fixture
def profile(address: str, tmp_path: Path) -> TargetProfile:
    return profile_for(tmp_path, address)


@pytest.fixture
def world(cluster: Cluster, profile: TargetProfile) -> World:
    return world_for(cluster, profile)
