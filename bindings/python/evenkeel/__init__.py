"""evenkeel in a Python program: takes bias out of a model while llama.cpp runs it.

    import llama_cpp, evenkeel              # or xllamacpp: whatever brings its llama library into the process
    evenkeel.load("judge.toml")             # before the model's context is made
    model = llama_cpp.Llama("model.gguf")

It is ctypes over the C interface, whose header says the rest; the library lies inside this package.
"""

import ctypes
import json
import os
from pathlib import Path

__all__ = [
    "Error", "begin", "load", "library", "plan", "profile", "reload", "set_profile", "set_strength", "stats", "strength", "version",
]


class Error(RuntimeError):
    """What the library refused; `status` is the number that evenkeel.h names."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def library():
    """The path of libevenkeel.so: for LD_PRELOAD and GGML_BACKEND_PATH of other programs, too."""
    return os.environ.get("EVENKEEL_PLUGIN") or str(Path(__file__).with_name("libevenkeel.so"))


_loaded = None


def _c():
    global _loaded
    if _loaded is None:
        c = ctypes.CDLL(library())
        c.ek_last_error.restype = c.ek_version.restype = ctypes.c_char_p
        c.ek_set_strength.argtypes = [ctypes.c_char_p, ctypes.c_float]
        c.ek_get_strength.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_float)]
        c.ek_set_profile.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p]
        c.ek_begin.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        for call in (c.ek_stats_json, c.ek_plan_text):
            call.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t)]
        _loaded = c
    return _loaded


def _check(status):
    if status:
        raise Error(status, _c().ek_last_error().decode())


def _text(call):
    needed = ctypes.c_size_t()
    size = 0
    # Counters grow between two calls.
    for _ in range(4):
        buffer = ctypes.create_string_buffer(size)
        status = call(buffer if size else None, size, ctypes.byref(needed))
        if needed.value <= size:
            _check(status)
            return buffer.value.decode()
        size = needed.value + 1024
    _check(status)


def _context(ctx):
    """A llama_context: its address, or an object of llama-cpp-python's that has one."""
    for name in ("ctx", "_ctx"):
        ctx = getattr(ctx, name, ctx)
    return ctypes.cast(ctx, ctypes.c_void_p)


def version():
    """The library's version."""
    return _c().ek_version().decode()


def load(profile=None):
    """Hooks the llama.cpp in this process, and has contexts made from now on run under `profile`.

    Import the package that brings llama.cpp first. Without a profile, EVENKEEL_PROFILE counts.
    Raises Error: no llama.cpp here, or all errors of the profile.
    """
    _check(_c().ek_install())
    if profile is not None:
        _check(_c().ek_load_profile(os.fspath(profile).encode()))


def profile(path):
    """Contexts made from now on run under the profile at `path`; None: without one. Raises Error."""
    _check(_c().ek_load_profile(None if path is None else os.fspath(path).encode()))


def reload():
    """Reads the loaded profiles again, now. Raises Error."""
    _check(_c().ek_reload())


def set_strength(rule, strength):
    """Changes the strength of a rule that has `adjustable = true`. Raises Error."""
    _check(_c().ek_set_strength(rule.encode(), strength))


def strength(rule):
    """The strength of such a rule at this moment. Raises Error."""
    value = ctypes.c_float()
    _check(_c().ek_get_strength(rule.encode(), ctypes.byref(value)))
    return value.value


def set_profile(ctx, seq, name):
    """Chooses the profile of one sequence by its name, "off" for none; None: the default again. Raises Error."""
    _check(_c().ek_set_profile(_context(ctx), seq, None if name is None else name.encode()))


def begin(ctx, seq):
    """Says that a request begins on a sequence. Raises Error."""
    _check(_c().ek_begin(_context(ctx), seq))


def stats():
    """What the library does, as a dictionary."""
    return json.loads(_text(_c().ek_stats_json))


def plan():
    """What each rule became, as text for people."""
    return _text(_c().ek_plan_text)
