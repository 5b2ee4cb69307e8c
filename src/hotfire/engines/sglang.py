"""SGLang.

Source: SGLang, python/sglang/srt/metrics/collector.py and docs/references/production_metrics.md
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=30000,
    health_path="/health",
    ready_path="/health_generate",
    metrics_flag="start it with --enable-metrics",
    model_label="model_name",
    running=Series("sglang:num_running_reqs"),
    waiting=Series("sglang:num_queue_reqs"),
    kv_use=Series("sglang:token_usage"),
    ttft=Series("sglang:time_to_first_token_seconds"),
    tpot=Series("sglang:inter_token_latency_seconds"),
    requests=Series("sglang:num_requests_total"),
    aborted=Series("sglang:num_aborted_requests_total"),
    errors=Series("sglang:num_aborted_requests_total"),
    prompt_tokens=Series("sglang:prompt_tokens_total"),
    generated_tokens=Series("sglang:generation_tokens_total"),
    counters_move="at the end",
    progress=Series("sglang:realtime_tokens_total", {"mode": "decode"}),
    out_of_memory=("CUDA out of memory", "OutOfMemoryError"),
    fixed_length={"ignore_eos": True},
)
