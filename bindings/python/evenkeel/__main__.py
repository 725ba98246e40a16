"""`python -m evenkeel` prints the path of libevenkeel.so, for LD_PRELOAD and GGML_BACKEND_PATH."""

from . import library

print(library())
