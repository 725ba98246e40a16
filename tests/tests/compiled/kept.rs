//! Cells of another profile, in every way that a host keeps them: the README's table says what was seen here.

use evenkeel_tests::host::ServerKind;
use evenkeel_tests::kept::{by_a_server, is_in_the_readme};

#[test]
fn by_llama_server() {
    is_in_the_readme("llama-server", &by_a_server(ServerKind::Program));
}
