"""The bytes of each request of a plan, made cheaply: what never changes is written once."""

import json
from typing import Any
from urllib.parse import urlsplit

from hotfire.answer.token_clock import Asked
from hotfire.reference import resolved
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.prompts import Tenant
from hotfire.traffic.workload.texts import Texts

# ``Requests.bytes`` hides the type's own name from the annotations of its class.
Body = bytes


class Requests:
    """Every request of one plan, by prompt id; the same id gives the same bytes, always."""

    def __init__(self, plan: LoadPlan) -> None:
        self.texts = Texts(plan)
        self._turns = plan.prompts.turns > 1
        self._senders = [Sender(plan, tenant) for tenant in self.texts.tenants]
        differ = plan.output_tokens or self.texts.plan.trace_rows or len(self._senders) > 1
        self._asked = None if differ else self._senders[0].asked(plan.max_tokens)

    def body(self, prompt_id: int) -> Body:
        """Return the JSON body of one request."""
        return self._sender_and_body(prompt_id)[1]

    def bytes(self, prompt_id: int) -> Body:
        """Return one whole HTTP/1.1 request."""
        sender, content = self._sender_and_body(prompt_id)
        return b"%b%d\r\n\r\n%b" % (sender.head, len(content), content)

    def asked(self, prompt_id: int) -> Asked:
        """Return what the answer to a request is held against."""
        if self._asked:
            return self._asked
        texts = self.texts
        chance = texts.draws(prompt_id)
        return self._senders[texts.sender(chance)].asked(texts.max_tokens(prompt_id, chance))

    def _sender_and_body(self, prompt_id: int) -> "tuple[Sender, Body]":
        texts = self.texts
        chance = texts.draws(prompt_id)
        if self._turns:
            messages = texts.messages(prompt_id)
        else:
            messages = [("user", texts.say(prompt_id, chance))]
        sender = self._senders[texts.sender(chance)]
        return sender, sender.body(messages, texts.max_tokens(prompt_id, chance))


class Sender:
    """What all requests of one tenant have in common, already written."""

    def __init__(self, plan: LoadPlan, tenant: Tenant) -> None:
        self._chat = plan.path.endswith("/chat/completions")
        document = fixed_fields(plan, tenant.model or plan.model)
        content = "messages" if self._chat else "prompt"
        self._start = json.dumps(document, separators=(",", ":"))[:-1]
        self._says = content not in document
        self._limits = "max_tokens" not in document
        self.head = head(plan, tenant)
        self._models = frozenset({str(document["model"]), *plan.model_aliases})
        self._limit = _limit(document)

    def asked(self, max_tokens: int) -> Asked:
        """Return what an answer is held against; what the plan's extra_body names stands."""
        return Asked(models=self._models, max_tokens=self._limit or max_tokens)

    def body(self, messages: list[tuple[str, str]], max_tokens: int) -> bytes:
        """Return the body; what the plan's extra_body names stands."""
        text = self._start
        if self._limits:
            text += f',"max_tokens":{max_tokens}'
        if self._says:
            text += f',"messages":[{_written(messages)}]' if self._chat else _as_prompt(messages)
        return (text + "}").encode()


def _limit(document: dict[str, Any]) -> int | None:
    """Return the output tokens that the fixed fields of a body ask for, if they do."""
    named = (document.get(name) for name in ("max_completion_tokens", "max_tokens"))
    return max((limit for limit in named if isinstance(limit, int)), default=None)


def _written(messages: list[tuple[str, str]]) -> str:
    return ",".join(f'{{"role":"{role}","content":{json.dumps(text)}}}' for role, text in messages)


def _as_prompt(messages: list[tuple[str, str]]) -> str:
    text = json.dumps("\n\n".join(text for _, text in messages))
    return f',"prompt":{text}'


def fixed_fields(plan: LoadPlan, model: str) -> dict[str, Any]:
    """Return the fields of a body that every request of a tenant shares."""
    document: dict[str, Any] = {"model": model, "temperature": 0, "stream": plan.stream}
    if plan.stream:
        document["stream_options"] = {"include_usage": True}
    if schema := plan.prompts.json_schema:
        bound = {"name": "answer", "schema": schema, "strict": True}
        document["response_format"] = {"type": "json_schema", "json_schema": bound}
    return document | plan.extra_body


def head(plan: LoadPlan, tenant: Tenant) -> bytes:
    """Return the start of a request, up to the content's length."""
    headers = {
        "host": urlsplit(plan.url).netloc,
        "user-agent": "hotfire",
        "content-type": "application/json",
        "accept": "text/event-stream" if plan.stream else "application/json",
        # A compressed stream holds tokens back until a block is full.
        "accept-encoding": "identity",
    }
    if plan.connection == "fresh":
        headers["connection"] = "close"
    own = plan.headers | tenant.headers
    headers |= {name.lower(): resolved(value) for name, value in own.items()}
    first = f"POST {plan.base_path}{plan.path} HTTP/1.1"
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\ncontent-length: ").encode()
