//! Requests to llama-server, the program: see `evenkeel_tests::serving`.

use std::time::Duration;

use evenkeel_model::{Arch, Vision};
use evenkeel_tests::host::ServerKind::Program as KIND;
use evenkeel_tests::{mutant, serving};

#[test]
fn a_client_chooses_what_it_may() {
    serving::a_client_chooses_what_it_may(KIND);
}

#[test]
fn a_phase_rule_acts_in_its_phase() {
    serving::a_phase_rule_acts_in_its_phase(KIND);
}

#[test]
fn answers_do_not_depend_on_what_was_asked_before() {
    serving::answers_do_not_depend_on_what_was_asked_before(KIND, Arch::Llama, 60, &mutant("identity"));
}

#[test]
fn nor_with_a_sliding_window() {
    serving::answers_do_not_depend_on_what_was_asked_before(KIND, Arch::Gemma2, 60, &mutant("identity"));
}

#[test]
fn nor_where_a_state_cannot_be_rolled_back() {
    serving::answers_do_not_depend_on_what_was_asked_before(KIND, Arch::Lfm2, 60, &mutant("identity"));
}

#[test]
fn saved_slots_carry_what_they_were_made_under() {
    serving::saved_slots_carry_what_they_were_made_under(KIND);
}

#[test]
fn a_bad_request_touches_nobody_else() {
    serving::a_bad_request_touches_nobody_else(KIND);
}

#[test]
fn a_reload_concerns_what_begins_afterwards() {
    serving::a_reload_concerns_what_begins_afterwards(KIND);
}

#[test]
fn a_route_holds_from_the_first_row_after_its_text() {
    serving::a_route_holds_from_the_first_row_after_its_text(KIND);
}

#[test]
fn samplers_in_the_graph_read_a_contrast() {
    serving::samplers_in_the_graph_read_a_contrast(KIND);
}

#[test]
fn a_context_is_set_off() {
    serving::a_context_is_set_off(KIND);
}

#[test]
fn a_context_that_cannot_be_set_off_is_refused() {
    serving::a_context_that_cannot_be_set_off_is_refused(KIND);
}

#[test]
fn an_image_is_set_off() {
    serving::an_image_is_set_off(KIND, Vision::Llava);
}

#[test]
fn an_image_in_a_grid_of_positions_is_set_off() {
    serving::an_image_is_set_off(KIND, Vision::Qwen2Vl);
}

#[test]
fn an_image_that_attends_in_both_directions_is_set_off() {
    serving::an_image_is_set_off(KIND, Vision::Gemma3);
}

#[test]
fn segments_count_the_same_wherever_they_stand() {
    serving::segments_count_the_same_wherever_they_stand(KIND, 200);
}

#[test]
fn each_request_has_its_line() {
    serving::each_request_has_its_line(KIND);
}

/// `EVENKEEL_LOAD_SECONDS` makes it longer: an hour shows leaks that ten seconds do not.
#[test]
fn many_clients_at_once() {
    let seconds = std::env::var("EVENKEEL_LOAD_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    serving::requests_of_many_clients(KIND, serving::Load { slots: 16, time: Duration::from_secs(seconds) });
}

#[test]
fn no_order_of_segments_moves_a_digit() {
    serving::no_order_of_segments_moves_a_digit(KIND);
}

#[test]
fn saved_slots_keep_their_segments() {
    serving::saved_slots_keep_their_segments(KIND);
}
