"""Hugging Face's Text Generation Inference. It tells no time to the first token.

Source: TGI, docs/source/reference/metrics.md
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=80,
    health_path="/health",
    ready_path="/health",
    running=Series("tgi_batch_current_size"),
    waiting=Series("tgi_queue_size"),
    requests=Series("tgi_request_success"),
    prompt_tokens=Series("tgi_request_input_length_sum"),
    generated_tokens=Series("tgi_request_generated_tokens_sum"),
    counters_move="at the end",
    progress=Series("tgi_batch_inference_duration_count"),
    out_of_memory=("CUDA out of memory", "OutOfMemoryError"),
)
