//! A small safe way to drive llama.cpp.
