"""Services of the platform: which there are, which pods stand behind one, and at which ports."""

from typing import Final

from hotfire.chaos.plan import World
from hotfire.chaos.written import Target
from hotfire.cluster import Document, Pod, selects
from hotfire.errors import HarnessError

RESOURCE: Final = "services"
_HEADLESS: Final = ("", "None")


def service_before(world: World, pods: list[Pod]) -> Document:
    """Return the one Service with an address of its own that leads to all of some pods.

    Raises:
        HarnessError: there is none, or there are several.
    """
    namespace = world.profile.namespace
    found = [
        one
        for one in world.cluster.list("Service", namespace)
        if address_of(one) and all(_selects(one, pod) for pod in pods)
    ]
    if len(found) != 1:
        names = ", ".join(one["metadata"]["name"] for one in found) or "none"
        raise HarnessError(
            f"one Service of {namespace} with an address of its own has to lead to"
            f" {pods[0].name}; there is: {names}"
        )
    return found[0]


def there(world: World, target: Target) -> Document:
    """Return a Service as it is now.

    Raises:
        HarnessError: that very object is gone.
    """
    found = world.cluster.get("Service", target.namespace, target.name)
    if found is None or found["metadata"]["uid"] != target.uid:
        raise HarnessError(f"{target} is not there any more")
    return found


def address_of(service: Document) -> str:
    """Return the address by which clients reach a Service; empty: it has none of its own."""
    address = str(service["spec"].get("clusterIP") or "")
    return "" if address in _HEADLESS else address


def ports_of(service: Document) -> list[Document]:
    """Return its ports that speak TCP.

    Raises:
        HarnessError: it has none.
    """
    found = [
        one for one in service["spec"].get("ports") or () if one.get("protocol", "TCP") == "TCP"
    ]
    if not found:
        raise HarnessError(f"Service {service['metadata']['name']} has no port for TCP")
    return found


def pods_behind(world: World, service: Document) -> list[Pod]:
    """Return the pods that a Service leads to.

    Raises:
        HarnessError: none of them serves.
    """
    name, selector = service["metadata"]["name"], service["spec"].get("selector")
    pods = world.cluster.pods(service["metadata"]["namespace"], selector) if selector else []
    if not (serving := [pod for pod in pods if pod.serving]):
        raise HarnessError(f"no pod behind Service {name} serves")
    return serving


def pod_ports(service: Document, pod: Document) -> dict[int, str]:
    """Return the ports of a pod that a Service leads to, each with the name that it goes by.

    Raises:
        HarnessError: the pod names none of that name.
    """
    named = {
        port["name"]: port["containerPort"]
        for one in pod["spec"]["containers"]
        for port in one.get("ports") or ()
        if "name" in port
    }
    found = {}
    for one in ports_of(service):
        wanted = one.get("targetPort") or one["port"]
        name = wanted if isinstance(wanted, str) else ""
        if name and name not in named:
            raise HarnessError(f"{pod['metadata']['name']} has no port that is called {name}")
        found[int(named[name] if name else wanted)] = name
    return found


def _selects(service: Document, pod: Pod) -> bool:
    labels = service["spec"].get("selector")
    return bool(labels) and selects({"matchLabels": labels}, pod.labels)
