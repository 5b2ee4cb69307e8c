"""What a cluster would say to something: it is asked, and nothing is done."""

from collections.abc import Callable

from kubernetes.dynamic.exceptions import DynamicApiError

from hotfire.cluster.calls import CREATED, Calls, Document, message, plain, translated
from hotfire.cluster.execution import Untyped
from hotfire.cluster.objects import Answer

_REVIEWS = "authorization.k8s.io/v1"
# What admission says no with: a quota or a policy; a contradiction in the object itself.
_NOT_ADMITTED = (400, 403, 422)


class Reviews:
    """Admission, as a dry run tells it, and permission, as the server's access review does."""

    _calls: Calls

    def would_admit(self, document: Document, *, namespace: str) -> Answer:
        """Ask what the server would say to creating this, quotas and defaults included.

        Nothing is created. A refusal for lack of permission is among the answers.
        """
        kind, name = document["kind"], document["metadata"]["name"]

        def created() -> Untyped:
            resource = self._calls.resource(kind, document["apiVersion"])
            return resource.create(body=document, namespace=namespace, dry_run="All")

        return _admission(f"ask for the admission of {kind} {name}", created)

    def would_admit_change(
        self, kind: str, namespace: str, name: str, body: Document, *, api_version: str
    ) -> Answer:
        """Ask what the server would say to this merge-patch of an object; nothing is changed."""

        def patched() -> Untyped:
            return self._calls.resource(kind, api_version).patch(
                body=body,
                name=name,
                namespace=namespace,
                content_type="application/merge-patch+json",
                dry_run="All",
            )

        return _admission(f"ask for the admission of a change of {kind} {name}", patched)

    def allows(
        self, verb: str, resource: str, *, group: str = "", namespace: str = "", **subject: object
    ) -> bool:
        """Return whether somebody may do something, as the server's own access review says it.

        ``resource`` may name a subresource (``pods/exec``) or a page of the server's own
        (``/metrics``); no namespace stands for all of them.
        ``subject`` is who, by ``user`` and ``groups``; nobody: whoever asks.
        """
        kind = "SubjectAccessReview" if subject else "SelfSubjectAccessReview"
        spec: Document = dict(subject)
        name, _, subresource = resource.partition("/")
        if name:
            wanted = {"verb": verb, "group": group, "resource": name, "subresource": subresource}
            spec["resourceAttributes"] = {**wanted, "namespace": namespace}
        else:
            spec["nonResourceAttributes"] = {"verb": verb, "path": resource}
        document = {"apiVersion": _REVIEWS, "kind": kind, "spec": spec}

        def answered() -> Document:
            return plain(self._calls.resource(kind, _REVIEWS).create(body=document))

        answer = self._calls.ask(f"ask for a {kind}", answered)
        return bool((answer.get("status") or {}).get("allowed"))


def _admission(what: str, call: Callable[[], Untyped]) -> Answer:
    """Return what the server says to something in a dry run; only lack of an answer is an error."""
    with translated(what):
        try:
            stored = call()
        except DynamicApiError as error:
            if error.status not in _NOT_ADMITTED:
                raise
            return Answer(status=error.status, message=message(error))
    return Answer(status=CREATED, document=plain(stored))
