"""NVIDIA Dynamo's frontend; its workers tell their engine's own series on another port.

Source: aiperf, docs/server-metrics/server-metrics.md
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=8000,
    health_path="/live",
    ready_path="/health",
    model_label="model",
    running=Series("dynamo_frontend_inflight_requests"),
    waiting=Series("dynamo_frontend_queued_requests"),
    ttft=Series("dynamo_frontend_time_to_first_token_seconds"),
    tpot=Series("dynamo_frontend_inter_token_latency_seconds"),
    requests=Series("dynamo_frontend_requests_total"),
    out_of_memory=("CUDA out of memory", "OutOfMemoryError"),
    fixed_length={"ignore_eos": True},
)
