//! What holds of requests on every stock llama-server: who is steered, by what, and that no answer depends on what was
//! asked before.
//!
//! Each claim is a function of the server's kind, so that the embedded server (`make test`) and the program
//! (`make test-hosts`) are held to the same.

mod ask;
mod cache;
mod choose;
mod contrast;
mod image;
mod load;
mod profiles;
mod question;
mod refuse;
mod reload;
mod route;
mod said;
mod segments;

pub use ask::{Answer, Ask};
pub use cache::{answers_do_not_depend_on_what_was_asked_before, saved_slots_carry_what_they_were_made_under};
pub use choose::{a_client_chooses_what_it_may, a_phase_rule_acts_in_its_phase};
pub use contrast::{
    a_context_is_set_off, a_context_that_cannot_be_set_off_is_refused, samplers_in_the_graph_read_a_contrast,
};
pub use image::an_image_is_set_off;
pub use load::{Load, requests_of_many_clients};
pub use profiles::Profiles;
pub use refuse::a_bad_request_touches_nobody_else;
pub use reload::a_reload_concerns_what_begins_afterwards;
pub use route::a_route_holds_from_the_first_row_after_its_text;
pub use said::each_request_has_its_line;
pub use segments::{
    no_order_of_segments_moves_a_digit, saved_slots_keep_their_segments, segments_count_the_same_wherever_they_stand,
};
