//! The shared library in a null host: a few C++ files that pretend to be llama.cpp (`tests/null`), driven by a program
//! (`tests/driver`) that prints what happened. No model, no llama.cpp, and hosts that no llama.cpp ever was.

mod contexts;
mod doors;
mod example;
mod exceptions;
mod exports;
mod fallback;
mod forks;
mod graphs;
mod header;
mod layout;
mod memcheck;
mod misuse;
mod panics;
mod pass_through;
mod refuse;
mod relro;
mod reuse;
mod shell;
mod support;
mod threads;
