//! The shared library in a null host: a few C++ files that pretend to be llama.cpp (`tests/null`), driven by a program
//! (`tests/driver`) that prints what happened. No model, no llama.cpp, and hosts that no llama.cpp ever was.

mod capture;
mod cells;
mod contexts;
mod control;
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
mod reload;
mod relro;
mod requests;
mod reuse;
mod saved;
mod sequences;
mod shell;
mod support;
mod threads;
