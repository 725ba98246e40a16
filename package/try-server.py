"""Asks xllamacpp's server for one likely answer, and prints it. `try-server.py MODEL [PROFILE]`: with a profile, through
`import evenkeel`."""

import json
import sys
import urllib.request

import xllamacpp

model, *profile = sys.argv[1:]
if profile:
    import evenkeel

    evenkeel.load(profile[0])
params = xllamacpp.CommonParams()
params.model.path = model
params.hostnames = ["127.0.0.1"]
params.port = 0
params.warmup = False
params.n_ctx = 256
server = xllamacpp.Server(params)
body = {"prompt": "the nurse said that", "n_predict": 1, "temperature": 0, "n_probs": 2}
request = urllib.request.Request(server.listening_address + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=60) as answer:
    top = json.load(answer)["completion_probabilities"][0]["top_logprobs"]
print(", ".join(f"{choice['token'].strip()} {choice['logprob']:.3f}" for choice in top))
