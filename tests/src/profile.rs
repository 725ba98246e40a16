//! Profiles as a user would type them.

use std::fmt::Write;

/// A profile under construction.
#[derive(Clone, Debug)]
pub struct Profile(String);

impl Profile {
    /// No rule at all.
    pub fn empty() -> Self {
        Self("schema = 1\nname = \"test\"\n".into())
    }

    /// One `add` rule on all layers.
    pub fn add(direction: &str, strength: f32) -> Self {
        Self::empty().and_add(direction, strength, "\"all\"")
    }

    /// One more `add` rule; `layers` as TOML.
    #[must_use]
    pub fn and_add(mut self, direction: &str, strength: f32, layers: &str) -> Self {
        let number = self.0.matches("[[steer]]").count();
        write!(
            self.0,
            "\n[[steer]]\nname = \"rule-{number}\"\ndirection = \"{direction}\"\noperator = \"add\"\n\
             strength = {strength:?}\nlayers = {layers}\n"
        )
        .expect("a string takes text");
        self
    }

    /// One more rule on layers 2 and 3; `keys` as TOML: the operator and what belongs to it.
    #[must_use]
    pub fn and_rule(self, direction: &str, keys: &str) -> Self {
        self.and_rule_on("[2, 3]", direction, keys)
    }

    /// One more rule on layers 2 and 3, whose file another key than `direction` names.
    #[must_use]
    pub fn and_file(mut self, key: &str, file: &str, keys: &str) -> Self {
        let number = self.0.matches("[[steer]]").count();
        write!(self.0, "\n[[steer]]\nname = \"rule-{number}\"\n{key} = \"{file}\"\nlayers = [2, 3]\n{keys}\n")
            .expect("a string takes text");
        self
    }

    /// One more rule; `layers` and `keys` as TOML.
    #[must_use]
    pub fn and_rule_on(mut self, layers: &str, direction: &str, keys: &str) -> Self {
        let number = self.0.matches("[[steer]]").count();
        write!(
            self.0,
            "\n[[steer]]\nname = \"rule-{number}\"\ndirection = \"{direction}\"\nlayers = {layers}\n{keys}\n"
        )
        .expect("a string takes text");
        self
    }

    /// A table of its own, as TOML, before the rules.
    #[must_use]
    pub fn with(mut self, table: &str) -> Self {
        let rules = self.0.find("\n[[steer]]").unwrap_or(self.0.len());
        self.0.insert_str(rules, &format!("\n{table}\n"));
        self
    }

    /// A table of its own, as TOML, after the others.
    #[must_use]
    pub fn then(mut self, table: &str) -> Self {
        write!(self.0, "\n{table}\n").expect("a string takes text");
        self
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}
