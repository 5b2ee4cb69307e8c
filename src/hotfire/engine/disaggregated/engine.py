"""The scripted engine as half of a pair: it reads a prompt for another one, or answers what was.

    python -m hotfire.engine.disaggregated.engine --port 8000 --model tiny

A request says which half it is to play, in the words of vLLM's NIXL connector. With
``do_remote_decode`` it keeps the KV blocks of the prompt, and says where they lie; with
``do_remote_prefill`` it takes them from there before it answers. What nobody takes is given up when
its lease is over.

Its environment: VLLM_NIXL_SIDE_CHANNEL_HOST and _PORT are where others find its KV blocks,
KV_LEASE_SECONDS is how long it keeps them, KV_TRANSFER_SECONDS how long taking them lasts.
"""

import asyncio
import dataclasses
import os
import time
import uuid

from hotfire.engine import scripted
from hotfire.engine.scripted import BadRequestError, Call, Connection, Engine, Json, Prompted, Truth

TAKE = "/kv/take"
BLOCKS = 1024
"""Of a KV cache, in all."""
TAKEN_WITHIN_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Kept:
    """KV blocks of a prompt that was read for another engine."""

    blocks: int
    until: float
    """When they are given up, by the monotonic clock."""


class Half(Engine):
    """An engine that gives KV blocks to others, and takes theirs."""

    def __init__(self, script: scripted.Script, *, name: str, start_seconds: float = 0.0) -> None:
        super().__init__(script, name=name, start_seconds=start_seconds)
        self.engine_id = uuid.uuid4().hex
        self.kept: dict[str, Kept] = {}

    async def read(self, asked: Prompted) -> None:
        """Read a prompt, or take what another engine has read."""
        transfer = asked.transfer if isinstance(asked.transfer, dict) else {}
        taken = bool(transfer.get("do_remote_prefill"))
        if taken:
            await self.take(transfer)
        await super().read(asked)
        asked.transferred = asked.n_in - asked.cached if taken else 0
        self.counters["transferred_tokens"] += asked.transferred

    async def take(self, transfer: Json) -> None:
        """Take the KV blocks of a prompt; raises BadRequestError where nobody gives them."""
        try:
            status = await asyncio.wait_for(asked_of(transfer), TAKEN_WITHIN_SECONDS)
        except (OSError, LookupError, ValueError) as error:
            scripted.log(f"KV blocks are not to be had: {error!r}")
            status = 0
        if status != 200:
            # As vLLM does by default: a prompt whose KV blocks are lost is not read again.
            self.counters["failed_transfers"] += 1
            message = "The KV blocks of the prompt could not be loaded."
            raise BadRequestError(500, message, "InternalServerError")

    def handed_over(self, asked: Prompted, record: Truth) -> Json:
        """Keep the KV blocks of a prompt that another engine will answer; say where they lie."""
        if not (isinstance(asked.transfer, dict) and asked.transfer.get("do_remote_decode")):
            return {}
        blocks = -(-asked.n_in // scripted.BLOCK_TOKENS)
        lease = float(os.environ.get("KV_LEASE_SECONDS", "30"))
        self.kept[record.request] = Kept(blocks, time.monotonic() + lease)
        told: Json = {"do_remote_prefill": True, "do_remote_decode": False}
        told |= {"remote_engine_id": self.engine_id, "remote_request_id": record.request}
        told |= {"remote_block_ids": list(range(blocks)), "tp_size": 1}
        told |= {"remote_host": os.environ.get("VLLM_NIXL_SIDE_CHANNEL_HOST", "localhost")}
        told |= {"remote_port": int(os.environ.get("VLLM_NIXL_SIDE_CHANNEL_PORT", "5600"))}
        return {"kv_transfer_params": told}

    def give_up(self) -> None:
        """Free what nobody took in time."""
        now = time.monotonic()
        for request in [name for name, kept in self.kept.items() if kept.until < now]:
            del self.kept[request]
            self.counters["expired"] += 1

    @property
    def kv_use(self) -> float:
        """Which part of the KV cache is in use; what waits to be taken is."""
        self.give_up()
        waiting = sum(kept.blocks for kept in self.kept.values())
        return min(1.0, super().kv_use + waiting / BLOCKS)

    def totals(self) -> dict[str, int]:
        """Return the counters that have no label of their own."""
        counters = self.counters
        queried = counters["prompt_tokens"] - counters["cached_tokens"]
        return super().totals() | {
            "vllm:external_prefix_cache_queries_total": queried,
            "vllm:external_prefix_cache_hits_total": counters["transferred_tokens"],
            "vllm:nixl_num_failed_transfers_total": counters["failed_transfers"],
            "vllm:nixl_num_kv_expired_reqs_total": counters["expired"],
        }


async def asked_of(transfer: Json) -> int:
    """Ask the engine that keeps the KV blocks of a prompt for them; return its status."""
    host, port = str(transfer["remote_host"]), int(transfer["remote_port"])
    reader, writer = await asyncio.open_connection(host, port)
    try:
        body = scripted.dumps({"remote_request_id": transfer["remote_request_id"]})
        head = f"POST {TAKE} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def give(engine: Engine, connection: Connection, call: Call) -> None:
    """Give the KV blocks of a prompt away; they are free once whoever asked has them."""
    document = scripted.parsed(call.body)
    name = document.get("remote_request_id") if isinstance(document, dict) else None
    await asyncio.sleep(float(os.environ.get("KV_TRANSFER_SECONDS", "0.02")))
    if connection.gone:
        raise ConnectionResetError("whoever took them has gone")
    if not isinstance(engine, Half) or engine.kept.pop(str(name), None) is None:
        raise BadRequestError(404, "No such KV blocks are kept.", "NotFoundError")
    await connection.answer(200, b"{}")


def main() -> None:
    """Answer until the process is ended."""
    scripted.ROUTES[TAKE] = ("POST", give)
    scripted.main(kind=Half)


if __name__ == "__main__":
    main()
