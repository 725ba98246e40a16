"""A program on llama-cpp-python: feeds fixed tokens, writes every logit as exact bits, as the C host (../c/host.c) does.

Arguments: MODEL OUT PROMPT DECODE [PROFILE [RULE STRENGTH]]. With a profile it imports evenkeel, runs under it, and turns a
rule's strength after the prompt.
"""

import json
import sys

import llama_cpp
import numpy

model, out, prompt, decode, *rest = sys.argv[1:]
if rest:
    import evenkeel

    evenkeel.load(rest[0])

llama = llama_cpp.Llama(
    model, n_ctx=512, logits_all=True, n_threads=1, n_threads_batch=1, flash_attn=False, verbose=False, n_gpu_layers=0
)


def token(position):
    x = (position * 2654435761 + 12345) & 0xFFFFFFFF
    return 3 + (x ^ (x >> 15)) % (llama.n_vocab() - 3)


def evaluate(phase, start, length, file):
    llama.eval([token(p) for p in range(start, start + length)])
    for position in range(start, start + length):
        bits = llama.scores[position].astype(numpy.float32).view(numpy.uint32)
        print(phase, 0, position, *(f"{b:08x}" for b in bits), file=file)


prompt, decode = int(prompt), int(decode)
with open(out, "w") as file:
    evaluate("prompt", 0, prompt, file)
    if rest[1:]:
        evenkeel.set_strength(rest[1], float(rest[2]))
    for i in range(decode):
        evaluate("decode", prompt + i, 1, file)
if rest:
    contexts = evenkeel.stats()["contexts"]
    print(json.dumps({"version": evenkeel.version(), "contexts": contexts, "plan": evenkeel.plan()}))
