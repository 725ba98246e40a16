//! `[invariance]`.

use super::error::ProfileError;
use super::read::Section;
use super::types::InvarianceTable;
use crate::invariance::{Invariance, MAX_SEGMENTS, MarkerTexts, Mode};

/// The table, if it is there.
pub(super) fn table(s: &mut Section<'_, '_, '_>) -> Option<InvarianceTable> {
    s.require("mode");
    let pos = s.pos();
    let mode = s.choice("mode", &[Mode::Pine, Mode::Set]);
    let in_text = s.bool("markers-in-text");
    let max_segments = s.count_up_to("max-segments", MAX_SEGMENTS as u32).unwrap_or(MAX_SEGMENTS as u32);
    let canonical = s.bool("canonical").unwrap_or(false);
    let markers = s.get("segments").and_then(|at| {
        let Some(inner) = at.get_ref().as_table() else { return s.wrong_type(at, "segments") };
        let mut inner = Section::new(s.reader, "invariance.segments", inner, at.span());
        inner.require("open");
        inner.require("close");
        let (open, close) = (inner.text("open")?.value, inner.text("close")?.value);
        if open == close {
            inner.fail_whole(ProfileError::SameMarkers);
            return None;
        }
        Some(MarkerTexts { open, close, in_text: in_text.unwrap_or(false) })
    });
    if in_text.is_some() && s.get("segments").is_none() {
        s.fail_here("markers-in-text", ProfileError::NoMarkers { key: "segments" });
    }
    let mode = mode?;
    Some(InvarianceTable { pos, invariance: Invariance { mode, markers, max_segments, canonical } })
}
