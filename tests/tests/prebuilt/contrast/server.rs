//! Contexts in the prompts of a server's clients.
