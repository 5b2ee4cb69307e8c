"""vLLM under Ray Serve LLM; Ray's own agent has the page.

Source: Ray, serve/llm and its metrics agent
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=8000,
    health_path="/-/healthz",
    ready_path="/-/healthz",
    metrics_port=8080,
    model_label="model_name",
    running=Series("ray_vllm_num_requests_running"),
    waiting=Series("ray_vllm_num_requests_waiting"),
    kv_use=Series("ray_vllm_kv_cache_usage_perc"),
    ttft=Series("ray_vllm_time_to_first_token_seconds"),
    tpot=Series("ray_vllm_request_time_per_output_token_seconds"),
    requests=Series("ray_vllm_request_success_total"),
    prompt_tokens=Series("ray_vllm_prompt_tokens_total"),
    generated_tokens=Series("ray_vllm_generation_tokens_total"),
    counters_move="per step",
    progress=Series("ray_vllm_generation_tokens_total"),
    out_of_memory=("CUDA out of memory", "OutOfMemoryError"),
    fixed_length={"ignore_eos": True},
)
