"""vLLM.

Source: vLLM, v1/metrics/loggers.py; of who leaves, v1/engine/output_processor.py (abort_requests);
of its log, model_executor/model_loader/default_loader.py
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=8000,
    health_path="/health",
    ready_path="/v1/models",
    model_label="model_name",
    running=Series("vllm:num_requests_running"),
    waiting=Series("vllm:num_requests_waiting"),
    preemptions=Series("vllm:num_preemptions_total"),
    kv_use=Series("vllm:kv_cache_usage_perc"),
    ttft=Series("vllm:time_to_first_token_seconds"),
    tpot=Series("vllm:request_time_per_output_token_seconds"),
    requests=Series("vllm:request_success_total"),
    # Who leaves is in none of its counters.
    errors=Series("vllm:request_success_total", {"finished_reason": "error"}),
    counts_who_left=False,
    latency=Series("vllm:e2e_request_latency_seconds"),
    queue_wait=Series("vllm:request_queue_time_seconds"),
    cache_queries=Series("vllm:prefix_cache_queries_total"),
    cache_hits=Series("vllm:prefix_cache_hits_total"),
    adapters=Series("vllm:lora_requests_info"),
    prompt_tokens=Series("vllm:prompt_tokens_total"),
    computed_tokens=Series("vllm:prompt_tokens_by_source_total", {"source": "local_compute"}),
    transferred_tokens=Series(
        "vllm:prompt_tokens_by_source_total", {"source": "external_kv_transfer"}
    ),
    generated_tokens=Series("vllm:generation_tokens_total"),
    counters_move="per step",
    progress=Series("vllm:generation_tokens_total"),
    drain_option="--shutdown-timeout",
    drain_seconds=0.0,
    out_of_memory=("CUDA out of memory", "OutOfMemoryError", "No available memory for the cache"),
    load_seconds=r"Loading weights took ([\d.]+) seconds",
    fixed_length={"ignore_eos": True},
)
