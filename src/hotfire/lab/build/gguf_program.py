"""Makes a small model for llama.cpp: a seeded random Llama and its byte-level tokenizer.

``python gguf_program.py FILE`` with the project's own library on the path. The weights mean
nothing; loading, batching and streaming are real.
"""

import sys

import gguf
import numpy as np
from numpy.typing import NDArray

SEED = 20260101
# Deep enough that a token takes a millisecond: what comes faster looks like a buffer.
LAYERS, WIDTH, HEADS, INNER, CONTEXT = 8, 128, 4, 384, 4096
BOS, EOS = "<s>", "</s>"
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n"
    "{% endfor %}assistant:"
)
Weights = NDArray[np.float32]


def alphabet() -> list[str]:
    """Return a symbol for each byte, as GPT-2 has them: those that print are themselves."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    strange = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(strange)) for byte in range(256)]


def write_tokenizer(writer: gguf.GGUFWriter) -> list[str]:
    """Write the tokenizer and return its symbols; one that merges nothing is none, so: ``th``."""
    symbols = [*alphabet(), "th", BOS, EOS]
    kinds = [
        gguf.TokenType.CONTROL if one in (BOS, EOS) else gguf.TokenType.NORMAL for one in symbols
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(symbols)
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(symbols.index(BOS))
    writer.add_eos_token_id(symbols.index(EOS))
    writer.add_chat_template(TEMPLATE)
    return symbols


def write_shape(writer: gguf.GGUFWriter, symbols: int) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(symbols)


def write_weights(writer: gguf.GGUFWriter, symbols: int) -> None:
    random = np.random.default_rng(SEED)

    def weights(rows: int, columns: int, scale: float = 1.0) -> Weights:
        return random.normal(0, scale * columns**-0.5, (rows, columns)).astype(np.float32)

    ones = np.ones(WIDTH, dtype=np.float32)
    loud = WIDTH**0.5
    writer.add_tensor("token_embd.weight", weights(symbols, WIDTH, loud))
    for layer in range(LAYERS):
        block = {
            **dict.fromkeys(("attn_norm", "ffn_norm"), ones),
            **{name: weights(WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v")},
            "attn_output": weights(WIDTH, WIDTH),
            **{name: weights(INNER, WIDTH) for name in ("ffn_gate", "ffn_up")},
            "ffn_down": weights(WIDTH, INNER),
        }
        for name, values in block.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", values)
    writer.add_tensor("output_norm.weight", ones)
    # What does not print has no weight, so that it is never said, and each token is a letter.
    output = weights(symbols, WIDTH, loud)
    output[[number for number in range(symbols) if not 33 <= number < 127]] = 0
    writer.add_tensor("output.weight", output)


def main() -> None:
    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    symbols = write_tokenizer(writer)
    write_shape(writer, len(symbols))
    write_weights(writer, len(symbols))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
