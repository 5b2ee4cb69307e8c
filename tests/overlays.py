"""What an overlay of the reference stack has in place of the scripted stack's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fixtures.deployment import render
from hotfire import Endpoint
from hotfire.cluster import Document
from hotfire.waiting import until
from tests.world import World

Change = Callable[[Document], object]
"""Makes a document another one, in place."""


def as_it_is(_document: Document) -> None:
    """Change nothing."""


def rewritten(program: str, former: str, new: str) -> Change:
    """Return what makes a ConfigMap's program another one: some words in place of others."""

    def change(document: Document) -> None:
        data = document.get("data", {})
        if program in data:
            assert former in data[program]
            data[program] = data[program].replace(former, new)

    return change


def documents(world: World, overlay: str) -> list[Document]:
    """Return the documents of an overlay, rendered for this target."""
    stack = world.profile.stack.model_copy(update={"overlay": overlay})
    return render(world.profile.model_copy(update={"stack": stack}))


def added(world: World, overlay: str, to: str = "scripted") -> list[Document]:
    """Return the documents of an overlay that another one has not, such as the scripted stack."""
    there = {kind_and_name(one) for one in documents(world, to)}
    return [one for one in documents(world, overlay) if kind_and_name(one) not in there]


def kind_and_name(document: Document) -> tuple[str, str]:
    """Return what tells a document of an overlay from its others."""
    return document["kind"], document["metadata"]["name"]


def engine_spec(world: World, overlay: str) -> Document:
    """Return the specification of the pods of its engines."""
    [engines] = [
        one
        for one in documents(world, overlay)
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "vllm"
    ]
    spec: Document = engines["spec"]["template"]["spec"]
    return spec


def engine_containers(world: World, overlay: str) -> list[Document]:
    """Return the containers of its engines."""
    containers: list[Document] = engine_spec(world, overlay)["containers"]
    return containers


@contextmanager
def beside(world: World, made: list[Document], *, base_path: str | None = None) -> Iterator[None]:
    """Have documents beside the stack, their pods Ready, answering below a path of the gateway."""
    namespace, cluster = world.profile.namespace, world.cluster
    templates = [one["spec"]["template"] for one in made if one["kind"] == "Deployment"]
    labels = [one["metadata"]["labels"]["app"] for one in templates]
    cluster.apply(made, namespace=namespace)
    try:
        world.stack.wait_ready()
        if base_path is not None:
            _wait_answers(world, base_path)
        yield
    finally:
        for one in made:
            kind, name = kind_and_name(one)
            cluster.delete(kind, namespace, name, api_version=one["apiVersion"])
        until(
            lambda: not any(cluster.pods(namespace, {"app": app}) for app in labels),
            within_seconds=60,
            what=f"the pods of {', '.join(labels)} gone",
        )


def _wait_answers(world: World, base_path: str) -> None:
    gateway = world.profile.gateway.model_copy(update={"base_path": base_path})
    with Endpoint.of(world.profile.model_copy(update={"gateway": gateway})) as client:
        until(
            lambda: all(client.chat("?", max_tokens=1, fresh=True).ok for _ in range(6)),
            within_seconds=60,
            what=f"six answers in a row below {base_path}",
        )


@contextmanager
def engines_of(world: World, overlay: str) -> Iterator[None]:
    """Have the engines of another overlay for the length of a block."""
    former = world.stack.engine_workload()["spec"]["template"]["spec"]["containers"]
    world.set_engine_containers(engine_containers(world, overlay))
    try:
        yield
    finally:
        world.set_engine_containers(former)
