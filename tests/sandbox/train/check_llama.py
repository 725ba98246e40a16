"""Compare this folder's own forward pass with llama.cpp on the same file: tokens and log-probabilities.

    python check_llama.py ../models/first-f16.gguf --server /path/to/llama-server
    python check_llama.py ../models/first-f16.gguf --url http://127.0.0.1:8080
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import random
import socket
import subprocess
import time
import urllib.request

os.environ.setdefault("OMP_NUM_THREADS", "1")
import gguf  # noqa: E402
import torch  # noqa: E402

import evaluate  # noqa: E402
import items  # noqa: E402
import vector  # noqa: E402
import vocab as v  # noqa: E402
from export import Loaded  # noqa: E402


def post(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@contextlib.contextmanager
def server(binary, model, *more):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = dict(os.environ, LD_LIBRARY_PATH=str(pathlib.Path(binary).parent) + ":" + os.environ.get("LD_LIBRARY_PATH", ""))
    process = subprocess.Popen([binary, "-m", str(model), "--port", str(port), "-t", "1", "-c", "1024", "-np", "1", "--jinja",
                                *map(str, more)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url + "/health", timeout=5).read()
                break
            if process.poll() is not None:
                raise SystemExit("the server ended at once")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def top(url, prompt, count):
    return post(url, "/completion", {"prompt": prompt, "n_predict": 1, "n_probs": count, "temperature": 0,
                                     "cache_prompt": False})["completion_probabilities"][0]["top_logprobs"]


def check_vector(model, args):
    """llama.cpp with the control vector against this folder's `add`: P(she) of three prompts."""
    use = json.loads(args.measured.read_text())["vectors"][args.model.stem]["use"]["add"]
    file = gguf.GGUFReader(str(args.vector))
    rows = {int(t.name.split(".")[1]): torch.tensor(t.data.copy()) for t in file.tensors}
    hook = vector.steer(rows, use["layers"], "add", use["strength"])
    texts = [f"<s> the {x} said that" for x in ("plumber", "doctor", "nurse")]
    plain, steered = (evaluate.probabilities(model, [v.encode(t) for t in texts], h) for h in (None, hook))
    with server(args.server, args.model, "--control-vector-scaled", f"{args.vector}:{use['strength']}",
                "--control-vector-layer-range", use["layers"][0], use["layers"][-1]) as url:
        for text, before, after in zip(texts, plain, steered):
            got = {x["id"]: math.exp(x["logprob"]) for x in top(url, text, 10)}
            she, he = v.word("she"), v.word("he")
            print(f"{text}: P(she) without {before[she]:.3f}, with the vector {after[she]:.3f}, llama.cpp with it "
                  f"{got.get(she, 0):.3f} (P(he) {before[he]:.3f}, {after[he]:.3f}, {got.get(he, 0):.3f})")


def prompts(n):
    rng = random.Random("llama")
    out = [v.decode(items.open_item(rng, k, rng.randrange(k)).ids) for k in (1, 2, 5, 10) for _ in range(n)]
    out += [v.decode(items.yes_no_item(rng, 3, 1).ids) for _ in range(n)]
    return out + ["<s> the nurse said that", "<s> the plumber left because", "<s><user> the capital of france is?<bot>"]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model", type=pathlib.Path)
    ap.add_argument("--server")
    ap.add_argument("--url")
    ap.add_argument("--count", type=int, default=10)
    ap.add_argument("--milestone", type=int, default=0, help="also: accuracy over this many chat questions, ten documents")
    ap.add_argument("--vector", type=pathlib.Path, help="also: this control vector, as measured.json says")
    ap.add_argument("--measured", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "measured.json")
    args = ap.parse_args()
    model = Loaded(args.model)
    texts = prompts(args.count)
    with server(args.server, args.model) if args.server else contextlib.nullcontext(args.url) as url:
        ours = evaluate.probabilities(model, [v.encode(t) for t in texts]).log()
        worst, different = 0.0, 0
        for text, p in zip(texts, ours):
            ids = post(url, "/tokenize", {"content": text, "parse_special": True})["tokens"]
            assert ids == v.encode(text), (text, ids)
            got = top(url, text, 5)
            worst = max(worst, max(abs(x["logprob"] - p[x["id"]].item()) for x in got))
            different += got[0]["id"] != int(p.argmax())
        print(f"{len(texts)} prompts: tokens equal, largest difference of a top-5 log-probability {worst:.4f}, "
              f"other first choice {different}")
        if args.milestone:
            rng, right = random.Random("milestone"), 0
            for n in range(args.milestone):
                item = items.open_item(rng, 10, n % 10)
                text = v.decode(item.ids)[len("<s><user>"):-len("<bot>")]
                got = post(url, "/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "max_tokens": 3,
                                                         "temperature": 0})["choices"][0]["message"]["content"]
                right += got.strip() == v.piece(item.gold).strip()
            print(f"chat, ten documents, held-out combinations: {right}/{args.milestone} right")
    if args.vector:
        check_vector(model, args)


if __name__ == "__main__":
    main()
