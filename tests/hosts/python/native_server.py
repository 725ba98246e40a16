"""llama-cpp-python's server with llama.cpp's own control vector, which it offers no option for.

NATIVE_VECTOR names a file of F32 values, for each layer from 1 on; the rest is `python -m llama_cpp.server`.
"""

import ctypes
import os
import runpy

import llama_cpp

make = llama_cpp.llama_cpp.llama_init_from_model


def with_vector(model, params):
    context = make(model, params)
    with open(os.environ["NATIVE_VECTOR"], "rb") as file:
        values = file.read()
    length, n_embd = len(values) // 4, llama_cpp.llama_model_n_embd(model)
    data = (ctypes.c_float * length).from_buffer_copy(values)
    assert llama_cpp.llama_set_adapter_cvec(context, data, length, n_embd, 1, length // n_embd) == 0
    return context


llama_cpp.llama_cpp.llama_init_from_model = with_vector
runpy.run_module("llama_cpp.server", run_name="__main__", alter_sys=True)
