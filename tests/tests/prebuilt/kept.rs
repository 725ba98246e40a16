//! Cells of another profile, in every way that a host keeps them: the README's table says what was seen here.

use evenkeel_tests::host::ServerKind;
use evenkeel_tests::kept::{by_a_program, by_a_server, is_in_the_readme};

#[test]
fn by_xllamacpps_server() {
    is_in_the_readme("xllamacpp's server", &by_a_server(ServerKind::Xllamacpp));
}

#[test]
fn a_library_that_lies_is_caught() {
    evenkeel_tests::kept::a_library_that_lies_is_caught(ServerKind::Xllamacpp);
}

#[test]
fn by_a_program_through_the_loader() {
    is_in_the_readme("through the loader", &by_a_program(false));
}

#[test]
fn by_a_program_that_looks_functions_up() {
    is_in_the_readme("functions looked up by hand", &by_a_program(true));
}
