//! The tool from outside: what it prints and how it exits, without any llama.cpp.

mod check;
mod doctor;
mod errors;
mod support;
mod text;
