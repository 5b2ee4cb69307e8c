"""TensorRT-LLM's trtllm-serve. Its /metrics is JSON, of which a scraper reads nothing.

Source: TensorRT-LLM, tensorrt_llm/metrics/collector.py
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=8000,
    health_path="/health",
    ready_path="/health",
    metrics_path="/prometheus/metrics",
    metrics_flag="set return_perf_metrics: true, and enable_iter_perf_stats: true for the gauges",
    model_label="model_name",
    running=Series("trtllm_num_requests_running"),
    waiting=Series("trtllm_num_requests_waiting"),
    kv_use=Series("trtllm_kv_cache_utilization"),
    ttft=Series("trtllm_time_to_first_token_seconds"),
    tpot=Series("trtllm_time_per_output_token_seconds"),
    requests=Series("trtllm_request_success_total"),
    prompt_tokens=Series("trtllm_prompt_tokens_total"),
    generated_tokens=Series("trtllm_generation_tokens_total"),
    counters_move="at the end",
    out_of_memory=("CUDA out of memory", "OutOfMemoryError"),
    fixed_length={"ignore_eos": True},
)
