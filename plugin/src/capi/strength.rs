//! Changing a rule's strength while the model runs.

use std::{ffi::c_char, sync::Arc};

use evenkeel_core::plan::RuleIndex;

use super::{
    error::{Failure, exported, out, text},
    status::Status,
};
use crate::state::{self, Context, Instance, lock};

/// `ek_status ek_set_strength(const char * rule, float strength)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_set_strength(rule: *const c_char, strength: f32) -> Status {
    exported("ek_set_strength", || {
        // SAFETY: the header's contract.
        let rule = unsafe { text("rule", rule) }?;
        if !strength.is_finite() {
            return Err((Status::Argument, format!("strength: got {strength}, allowed: finite numbers")));
        }
        // Looked at in every context before it is changed in one.
        let mut max = f32::MAX;
        each(rule, |instance, index, _| max = max.min(instance.plan.max_strength(index)))?;
        if strength.abs() > max {
            return Err((
                Status::Argument,
                format!("strength: got {strength}, allowed: at most {max} for this direction"),
            ));
        }
        let identities = &state::get().identities;
        each(rule, |instance, _, gate| instance.set_strength(gate, strength, identities))
    })
}

/// `ek_status ek_get_strength(const char * rule, float * strength)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_get_strength(rule: *const c_char, strength: *mut f32) -> Status {
    exported("ek_get_strength", || {
        // SAFETY: the header's contract.
        let (rule, strength) = unsafe { (text("rule", rule)?, out("strength", strength)?) };
        each(rule, |instance, _, gate| *strength = instance.strength(gate))
    })
}

/// Calls `act` for the adjustable rule of that name in every context that has it.
fn each(name: &str, mut act: impl FnMut(&Instance, RuleIndex, usize)) -> Result<(), Failure> {
    let contexts: Vec<Arc<Context>> = lock(&state::get().contexts).values().cloned().collect();
    let (mut found, mut fixed) = (false, false);
    for instance in contexts.iter().flat_map(|c| c.instances()) {
        for (index, rule) in (0..).zip(&instance.plan.rules).filter(|(_, r)| r.name == name) {
            match rule.gate.filter(|_| rule.adjustable) {
                Some(gate) => {
                    act(&instance, RuleIndex(index), usize::from(gate.0));
                    found = true;
                }
                None => fixed = true,
            }
        }
    }
    match (found, fixed) {
        (true, _) => Ok(()),
        (_, true) => {
            Err((Status::Rule, format!("rule `{name}` is not adjustable: set `adjustable = true` in its table")))
        }
        _ => Err((Status::Rule, format!("no context runs a rule `{name}`"))),
    }
}
