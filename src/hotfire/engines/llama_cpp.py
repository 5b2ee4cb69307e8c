"""llama.cpp's llama-server.

Source: llama.cpp, tools/server
"""

from typing import Final

from hotfire.engines.dialect import Dialect, Series

DIALECT: Final = Dialect(
    port=8080,
    health_path="/health",
    ready_path="/health",
    metrics_flag="start it with --metrics",
    running=Series("llamacpp:requests_processing"),
    waiting=Series("llamacpp:requests_deferred"),
    prompt_tokens=Series("llamacpp:prompt_tokens_total"),
    generated_tokens=Series("llamacpp:tokens_predicted_total"),
    counters_move="at the end",
    progress=Series("llamacpp:n_decode_total"),
    drain_seconds=0.0,
    out_of_memory=("out of memory", "failed to allocate"),
    fixed_length={"ignore_eos": True},
)
