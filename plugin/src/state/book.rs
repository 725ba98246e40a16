//! The loaded profiles, bound to one context's model.

use std::{path::PathBuf, sync::Arc};

use evenkeel_core::{
    model::ModelFacts,
    plan::{PlanError, PlanErrors},
    profile::OnError,
    sequence::Routes,
    vocabulary::Vocabulary,
};

use super::{Identities, Instance, Shelf, shelf::OFF};

/// A plan, or none: the host's own computation.
pub type Choice = Option<Arc<Instance>>;

/// What the sequences of one context can run under.
pub struct Book {
    /// Where they were read from.
    pub path: PathBuf,
    /// What a sequence gets that nothing else is said of.
    pub default: Choice,
    /// All plans by the names of their profiles.
    pub named: Vec<(String, Arc<Instance>)>,
    /// Names that a request may choose.
    pub choose: Vec<String>,
    /// What routes look for.
    pub routes: Routes,
    /// Where they lead, in the same order.
    pub targets: Vec<Choice>,
    /// What becomes of a sequence that cannot be served as asked.
    pub on_error: OnError,
    /// How many plans one graph may hold.
    pub max_plans: usize,
}

/// Why no profile can be used with this model.
pub enum Unbound {
    /// Each is for another model, by its `[model]` table.
    OtherModel(String),
    /// Errors.
    Failed(String),
}

impl Book {
    /// Binds every profile. What is the same plan as in `before` stays the same instance, with its strengths and counters.
    ///
    /// # Errors
    /// Why not. A profile whose `[model]` table says that it is for another model is left out, the default one excepted.
    pub fn bind(
        shelf: &Shelf,
        (facts, vocabulary): (&ModelFacts, &dyn Fn() -> Option<Vocabulary>),
        before: Option<&Book>,
        identities: &Identities,
    ) -> Result<Book, Unbound> {
        let (mut named, mut failed, mut others): (Vec<(String, Arc<Instance>)>, _, _) = (vec![], vec![], vec![]);
        // Some megabytes, and only where labels are looked up.
        let needed = shelf.profiles.iter().any(|loaded| loaded.needs_vocabulary());
        let vocabulary = needed.then(vocabulary).flatten();
        for (i, loaded) in shelf.profiles.iter().enumerate() {
            match loaded.plan_with(facts, vocabulary.as_ref()) {
                Ok(plan) => {
                    let state = |rule: &str| {
                        let typed = loaded.profile.calibrate.iter().find(|c| c.name.value == rule)?.state.as_ref()?;
                        loaded.assets.states.get(&typed.value).cloned()
                    };
                    let priors = match super::get().priors.of(&plan, &loaded.path, state) {
                        Ok(priors) => priors,
                        Err(why) => {
                            failed.push(format!("{}: {why}", loaded.path.display()));
                            continue;
                        }
                    };
                    let instance = Instance::new(plan, loaded.profile.runtime.cache, identities, priors);
                    let name = loaded.profile.name.clone();
                    let same = |(n, old): &&(String, Arc<Instance>)| {
                        *n == name && old.plan == instance.plan && old.cache == instance.cache
                    };
                    let old = before.and_then(|b| b.named.iter().find(same)).map(|(_, old)| old.clone());
                    named.push((name, old.unwrap_or_else(|| Arc::new(instance))));
                }
                Err(errors) if another_model(&errors) && (shelf.default != Some(i) || shelf.profiles.len() == 1) => {
                    others.push(errors.to_string());
                }
                Err(errors) => failed.push(errors.to_string()),
            }
        }
        if !failed.is_empty() {
            return Err(Unbound::Failed(failed.join("\n")));
        }
        if named.is_empty() {
            return Err(Unbound::OtherModel(others.join("\n")));
        }
        let find = |name: &str| named.iter().find(|(n, _)| n == name).map(|(_, i)| i.clone());
        let known = |name: &str| name == OFF || find(name).is_some();
        let default = shelf.default.and_then(|i| find(&shelf.profiles[i].profile.name));
        let choose = shelf.choose().into_iter().filter(|name| known(name)).collect();
        let routes: Vec<(&str, &str)> = shelf.routes().filter(|(_, target)| known(target)).collect();
        let texts = Routes::new(routes.iter().map(|(text, _)| (*text).to_owned()));
        let targets = routes.iter().map(|(_, target)| find(target)).collect();
        let (on_error, max_plans) = (shelf.on_error(), shelf.max_plans());
        let path = shelf.path.clone();
        Ok(Book { path, default, choose, routes: texts, targets, on_error, max_plans, named })
    }

    /// The plan of that name; `Some(None)` for `off`.
    pub fn find(&self, name: &str) -> Option<Choice> {
        if name == OFF {
            return Some(None);
        }
        self.named.iter().find(|(n, _)| n == name).map(|(_, instance)| Some(instance.clone()))
    }

    /// The name under which a plan is known here.
    pub fn name_of<'a>(&'a self, choice: &'a Choice) -> &'a str {
        let Some(wanted) = choice else { return OFF };
        let found = self.named.iter().find(|(_, instance)| Arc::ptr_eq(instance, wanted));
        found.map_or(wanted.plan.profile.as_str(), |(name, _)| name)
    }

    /// True if every sequence runs under the default, whatever happens.
    pub fn is_uniform(&self) -> bool {
        self.default.is_some() && self.choose.is_empty() && self.routes.is_empty()
    }

    /// The plans that sequences may come to need, the default first.
    pub fn likely(&self) -> Vec<Arc<Instance>> {
        let chosen = self.choose.iter().filter_map(|name| self.find(name).flatten());
        let all = self.default.iter().cloned().chain(self.targets.iter().flatten().cloned()).chain(chosen);
        let mut list: Vec<Arc<Instance>> = Vec::new();
        for instance in all {
            if !instance.plan.is_empty() && !list.iter().any(|i| Arc::ptr_eq(i, &instance)) {
                list.push(instance);
            }
        }
        list
    }
}

/// True if the profile's `[model]` table says that it is for another model.
fn another_model(errors: &PlanErrors) -> bool {
    errors.iter().any(|e| matches!(e.error, PlanError::Guard { .. }))
}
