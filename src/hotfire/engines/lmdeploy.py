"""LMDeploy.

Source: LMDeploy, metrics of its API server
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=23333,
    health_path="/health",
    ready_path="/v1/models",
    model_label="model_name",
    running=Series("lmdeploy:num_requests_running"),
    waiting=Series("lmdeploy:num_requests_waiting"),
    kv_use=Series("lmdeploy:gpu_cache_usage_perc"),
    ttft=Series("lmdeploy:time_to_first_token_seconds"),
    tpot=Series("lmdeploy:time_per_output_token_seconds"),
    prompt_tokens=Series("lmdeploy:prompt_tokens_total"),
    generated_tokens=Series("lmdeploy:generation_tokens_total"),
    progress=Series("lmdeploy:generation_tokens_total"),
    out_of_memory=("CUDA out of memory", "OutOfMemoryError"),
    fixed_length={"ignore_eos": True},
)
