"""Write a checkpoint as GGUF (F16 and Q8_0), and read such a file back for measuring.

Beside the words as trained (" anna"), the file has aliases: "anna", "Anna", " Anna" with the same input row, so that
text without a leading space or with a capital is understood. The model never says an alias (its output row is that of
<pad>). Words that are answers (yes, no, A-D, 1-5, she, he, her, his) have no alias: a label is one token, not two.
"""
import argparse
import pathlib

import gguf
import numpy as np
import torch

import vocab as v
from model import Config, Model

ANSWERS = set("she he her his yes no A B C D 1 2 3 4 5 a".split())
TEMPLATE = ("<s>{% for m in messages %}{% if m['role'] == 'assistant' %}<bot> {{ m['content'] | trim }}</s>{% else %}<user>"
            "{% set c = m['content'] | trim %}{% if not c.startswith('<') %}{{ ' ' }}{% endif %}{{ c }}{% endif %}"
            "{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}")


def aliases():
    """[(text, id of the word)]"""
    out = {}
    for word in v.WORDS:
        if word not in ANSWERS:
            for text in (word, word.capitalize(), " " + word.capitalize()):
                if text not in v.ID:
                    out.setdefault(text, v.ID[" " + word])
    return list(out.items())


def escape(piece):
    """Token text as llama.cpp's rwkv vocabulary wants it."""
    return "".join(c if 32 <= ord(c) < 127 and c != "\\" else f"\\x{ord(c):02x}" for c in piece)


def tokens():
    T = gguf.TokenType
    texts = list(v.SPECIAL) + [escape(chr(b)) for b in range(256)] + [" " + x for x in v.WORDS]
    kinds = [T.USER_DEFINED if s in ("<doc>", "</doc>") else T.CONTROL for s in v.SPECIAL]
    kinds += [T.NORMAL] * (256 + len(v.WORDS))
    texts += [text for text, _ in aliases()]
    kinds += [T.NORMAL] * len(aliases())
    return texts, [int(k) for k in kinds]


def byte_rows(embed):
    """Bytes that the world does not use were never trained: give them the mean word, harmless and meaningless."""
    used = {v.byte_id(c) for c in ".?\n"}
    idle = [i for i in range(v.FIRST_BYTE, v.FIRST_WORD) if i not in used]
    embed[idle] = embed[v.FIRST_WORD:v.USED].mean(0)
    for word in v.WORDS:                         # "A" before a space-less option is still the letter A
        if len(word) == 1:
            embed[v.byte_id(word)] = embed[v.word(word)]
    return embed


def tensors(state):
    embed = state["embed.weight"].clone()
    out = embed[: v.USED].clone()
    silent = out[v.PAD]
    for i in range(v.FIRST_BYTE, v.FIRST_WORD):
        if i not in {v.byte_id(c) for c in ".?\n"}:
            out[i] = silent
    copies = [word for _, word in aliases()]
    embed = byte_rows(embed)[: v.USED]
    yield "token_embd.weight", torch.cat([embed, embed[copies]])
    yield "output.weight", torch.cat([out, silent.expand(len(copies), -1)])
    yield "output_norm.weight", state["norm.weight"]
    for name, x in state.items():
        if name.startswith("blocks."):
            _, n, part, _ = name.split(".")
            to = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up",
                  "down": "ffn_down"}.get(part, part)
            yield f"blk.{n}.{to}.weight", x


def write(state, cfg, path, name, kind):
    out = gguf.GGUFWriter(str(path), "llama")
    out.add_name(name)
    out.add_description("A laboratory animal with planted, measured biases. Not evidence about real models.")
    out.add_license("MIT OR Apache-2.0")
    out.add_context_length(cfg.context)
    out.add_embedding_length(cfg.width)
    out.add_block_count(cfg.layers)
    out.add_feed_forward_length(cfg.ff)
    out.add_head_count(cfg.heads)
    out.add_head_count_kv(cfg.kv_heads)
    out.add_rope_dimension_count(cfg.head_dim)
    out.add_rope_freq_base(cfg.rope_base)
    out.add_layer_norm_rms_eps(cfg.eps)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.MOSTLY_Q8_0)
    texts, kinds = tokens()
    out.add_vocab_size(len(texts))
    out.add_tokenizer_model("rwkv")
    out.add_token_list(texts)
    out.add_token_types(kinds)
    out.add_bos_token_id(v.BOS)
    out.add_eos_token_id(v.EOS)
    out.add_pad_token_id(v.PAD)
    out.add_chat_template(TEMPLATE)
    for name, x in tensors(state):
        x = x.detach().numpy().astype(np.float32)
        if x.ndim == 1:
            out.add_tensor(name, x)
        elif kind == "f16":
            out.add_tensor(name, x.astype(np.float16))
        else:
            packed = gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0)
            out.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


class Loaded(Model):
    """A model read from a GGUF file: what is measured is what is shipped."""

    def __init__(self, path):
        file = gguf.GGUFReader(str(path))
        get = {t.name: torch.tensor(gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32))
               for t in file.tensors}

        def number(key):
            return file.fields[f"llama.{key}"].contents()
        super().__init__(Config(get["token_embd.weight"].shape[0], number("embedding_length"), number("block_count"),
                                number("attention.head_count"), number("attention.head_count_kv"),
                                number("feed_forward_length"), number("context_length"), number("rope.freq_base"),
                                number("attention.layer_norm_rms_epsilon")))
        back = {"attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o", "ffn_gate": "gate", "ffn_up": "up",
                "ffn_down": "down"}
        state = {"embed.weight": get["token_embd.weight"], "norm.weight": get["output_norm.weight"]}
        for name, x in get.items():
            if name.startswith("blk."):
                _, n, part, _ = name.split(".")
                state[f"blocks.{n}.{back.get(part, part)}.weight"] = x
        self.load_state_dict(state)
        self.out = get["output.weight"]

    def logits(self, x):
        return self.norm(x) @ self.out.T


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("checkpoint", type=pathlib.Path)
    ap.add_argument("path", type=pathlib.Path, help="file name without -f16.gguf / -q8_0.gguf")
    ap.add_argument("--name", required=True)
    args = ap.parse_args()
    state = torch.load(args.checkpoint, weights_only=False)["model"]
    for kind in ("f16", "q8_0"):
        file = pathlib.Path(f"{args.path}-{kind}.gguf")
        write(state, Config(vocab=v.SIZE), file, args.name, kind)
        print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
