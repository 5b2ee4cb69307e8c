"""llm-d-inference-sim: vLLM's names for what it makes up. It tells nothing of who gave up.

Its counters of tokens move once an answer is over; the pauses between tokens are counted one by
one. The share of its cache is there only with --enable-kvcache.

Source: llm-d-inference-sim, docs/metrics.md, pkg/llm-d-inference-sim/metrics.go and
pkg/communication/communication.go
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=8000,
    health_path="/health",
    ready_path="/health/ready",
    model_label="model_name",
    running=Series("vllm:num_requests_running"),
    waiting=Series("vllm:num_requests_waiting"),
    kv_use=Series("vllm:kv_cache_usage_perc"),
    ttft=Series("vllm:time_to_first_token_seconds"),
    tpot=Series("vllm:time_per_output_token_seconds"),
    requests=Series("vllm:request_success_total"),
    latency=Series("vllm:e2e_request_latency_seconds"),
    queue_wait=Series("vllm:request_queue_time_seconds"),
    cache_queries=Series("vllm:prefix_cache_queries"),
    cache_hits=Series("vllm:prefix_cache_hits"),
    adapters=Series("vllm:lora_requests_info"),
    prompt_tokens=Series("vllm:prompt_tokens_total"),
    generated_tokens=Series("vllm:generation_tokens_total"),
    counters_move="at the end",
    progress=Series("vllm:inter_token_latency_seconds_count"),
    drain_seconds=30.0,
    fixed_length={"ignore_eos": True},
)
