"""httpx under asyncio, one task a request."""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx

url, mode, amount, tokens, seconds, out = sys.argv[1:]
BODY = {"model": "truth", "max_tokens": int(tokens), "stream": True}
BODY |= {"messages": [{"role": "user", "content": "hello"}]}
BODY |= {"stream_options": {"include_usage": True}}
ttft_ms: list[float] = []
failed: list[str] = []


async def ask(client: httpx.AsyncClient) -> None:
    began, first = time.perf_counter_ns(), 0
    try:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=BODY) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or "[DONE]" in line:
                    continue
                choices = json.loads(line[6:]).get("choices")
                if not first and choices and choices[0]["delta"].get("content"):
                    first = time.perf_counter_ns()
    except httpx.HTTPError as error:
        failed.append(repr(error))
    ttft_ms.append((first - began) / 1e6)


async def closed(client: httpx.AsyncClient, end: float) -> None:
    await ask(client)
    while time.monotonic() < end:
        await ask(client)


async def main() -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client, asyncio.TaskGroup() as group:
        begun = time.monotonic()
        end = begun + float(seconds)
        if mode == "closed":
            for _ in range(int(float(amount))):
                group.create_task(closed(client, end))
            return
        for number in range(round(float(seconds) * float(amount))):
            await asyncio.sleep(max(0.0, begun + number / float(amount) - time.monotonic()))
            group.create_task(ask(client))


asyncio.run(main())
Path(out).write_text(json.dumps({"ttft_ms": ttft_ms, "failed": len(failed), "errors": failed[:3]}))
