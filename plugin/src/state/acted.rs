//! On how many rows of one request each rule acted: for the log's line per request, and kept only where that is written.

use std::{fmt, sync::Arc};

use evenkeel_core::sequence::Phase;

use super::Instance;

/// Rows by plan and rule: a request that a route leads on has several plans.
#[derive(Default)]
pub struct Acted(Vec<(Arc<Instance>, Vec<u64>)>);

impl Acted {
    /// A row under this plan is fed.
    pub fn add(&mut self, plan: &Arc<Instance>, phase: Phase, pos: i32) {
        let known = self.0.iter().position(|(p, _)| Arc::ptr_eq(p, plan));
        let at = known.unwrap_or_else(|| {
            self.0.push((plan.clone(), vec![0; plan.plan.rules.len()]));
            self.0.len() - 1
        });
        for (rule, count) in plan.plan.rules.iter().zip(&mut self.0[at].1) {
            *count += u64::from(rule.dropped.is_none() && phase.within(rule.tokens, pos));
        }
    }
}

/// As "; rules: `gender` on 12, `late` on no row": of all rows that were evaluated, those evaluated again among them; also rows
/// on which a rule's condition does not hold.
impl fmt::Display for Acted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().flat_map(|(plan, counts)| plan.plan.rules.iter().zip(counts));
        for (i, (rule, count)) in all.filter(|(rule, _)| rule.dropped.is_none()).enumerate() {
            f.write_str(if i == 0 { "; rules: " } else { ", " })?;
            match count {
                0 => write!(f, "`{}` on no row", rule.name)?,
                n => write!(f, "`{}` on {n}", rule.name)?,
            }
        }
        Ok(())
    }
}
