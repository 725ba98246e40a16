"""Starts xllamacpp's embedded llama-server and prints its address; ends when its standard input does.

Arguments: KEY=VALUE, each a field of CommonParams with dots for nesting, for instance model.path=x.gguf n_ctx=512.
The field's own type decides how the value is read; one of a list of names is given by its number, and a field with
several by numbers with commas. `--evenkeel` imports evenkeel, which takes the profile from EVENKEEL_PROFILE.
"""

import sys

import xllamacpp


def assign(params, key, text):
    *path, last = key.split(".")
    for name in path:
        params = getattr(params, name)
    old = getattr(params, last)
    if isinstance(old, bool):
        value = text == "true"
    elif isinstance(old, list):
        value = [type(old[0])(int(number)) for number in text.split(",")]
    elif isinstance(old, (int, float, str)):
        value = type(old)(text)
    else:
        value = type(old)(int(text))
    setattr(params, last, value)


params = xllamacpp.CommonParams()
params.hostnames = ["127.0.0.1"]
params.port = 0
params.warmup = False
for argument in sys.argv[1:]:
    if argument == "--evenkeel":
        import evenkeel

        evenkeel.load()
        continue
    key, _, text = argument.partition("=")
    assign(params, key, text)
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
