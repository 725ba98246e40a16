//! What can be wrong with a profile's text.

/// One error in a profile. Printed as `what, got, allowed`; file, line, column and key stand before it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The text is not TOML.
    #[error("not valid TOML, got `{got}`, allowed: TOML ({message})")]
    Syntax {
        /// The line, shortened.
        got: String,
        /// The TOML parser's message, on one line.
        message: String,
    },
    /// No such key.
    #[error("unknown key, got `{got}`{}, allowed: {allowed}", did_you_mean(.suggestion))]
    UnknownKey {
        /// The key.
        got: String,
        /// The key that was probably meant.
        suggestion: Option<&'static str>,
        /// All keys of this table.
        allowed: String,
    },
    /// A segment could not be told from what follows it.
    #[error("both markers are the same, got one text, allowed: one where a segment begins and another where it ends")]
    SameMarkers,
    /// A key about markers without markers.
    #[error(
        "there are no markers, got nothing under {key}, allowed: together with {key} = {{ open = \"…\", close = \"…\" }}"
    )]
    NoMarkers {
        /// Where markers would stand.
        key: &'static str,
    },
    /// A context that something empty stands in the place of.
    #[error(
        "nothing to put in the place of a context, got \"\", allowed: a text; without the key, contexts are left out"
    )]
    NothingInstead,
    /// A context in the place of a context.
    #[error(
        "it has a marker in it, which would begin or end a context, got {got:?}, allowed: a text without {marker:?}"
    )]
    MarkerInstead {
        /// The text, shortened.
        got: String,
        /// What it must not have.
        marker: String,
    },
    /// Layers without what happens there.
    #[error("layers of attention that is the model's own, got layers alone, allowed: attention = \"…\" beside it")]
    LayersOfNothing,
    /// A required key is absent.
    #[error("missing, got nothing, allowed: {allowed}")]
    Missing {
        /// What may be written.
        allowed: &'static str,
    },
    /// A value of another type.
    #[error("wrong type, got {got}, allowed: {allowed}")]
    WrongType {
        /// The value and its type.
        got: String,
        /// What may be written.
        allowed: &'static str,
    },
    /// A number that cannot be used.
    #[error("out of range, got {got}, allowed: {allowed}")]
    OutOfRange {
        /// The number as it was typed.
        got: String,
        /// What may be written.
        allowed: &'static str,
    },
    /// None of the words of a choice.
    #[error("unknown value, got \"{got}\"{}, allowed: {allowed}", did_you_mean(.suggestion))]
    UnknownValue {
        /// The word.
        got: String,
        /// The word that was probably meant.
        suggestion: Option<&'static str>,
        /// What may be written.
        allowed: &'static str,
    },
    /// A text that is empty, too long or has characters that a name or path must not have.
    #[error("empty, too long or with characters that do not belong here, got {got:?}, allowed: {allowed}")]
    BadText {
        /// The text, shortened.
        got: String,
        /// What may be written.
        allowed: &'static str,
    },
    /// Two rules of one name.
    #[error("name already used, got \"{got}\" as in line {first_line}, allowed: a different name for each rule")]
    DuplicateName {
        /// The name.
        got: String,
        /// Line of the first rule with this name.
        first_line: u32,
    },
    /// A key that belongs to another operator.
    #[error(
        "this key is for another operator, got `{got}` with operator = \"{operator}\", allowed: operator = \"{allowed}\""
    )]
    KeyOfOperator {
        /// The key.
        got: &'static str,
        /// The rule's operator.
        operator: &'static str,
        /// The operators that the key is for.
        allowed: String,
    },
    /// A prior of what no contrast leaves out.
    #[error(
        "[contrast] does not leave that out, got \"{got}\", allowed: together with [contrast] without = {without} (and alpha = 0 for \
             nothing but the prior)"
    )]
    NotLeftOut {
        /// The word.
        got: &'static str,
        /// What `[contrast]` must have.
        without: &'static str,
    },
    /// A key that belongs to another method of calibration.
    #[error("this key is for another method, got `{got}` with method = \"{method}\", allowed: method = \"{allowed}\"")]
    KeyOfMethod {
        /// The key.
        got: &'static str,
        /// The rule's method.
        method: &'static str,
        /// The methods that the key is for.
        allowed: String,
    },
    /// Too few or too many labels.
    #[error("number of labels, got {got}, allowed: 2 to {max}")]
    Labels {
        /// How many there are.
        got: usize,
        /// The cap.
        max: usize,
    },
    /// One label twice.
    #[error("label named twice, got {got:?} again, allowed: each label once")]
    LabelTwice {
        /// The label.
        got: String,
    },
    /// A clamp that bounds nothing.
    #[error("a clamp without bounds, got neither min nor max, allowed: min, max or both")]
    NoBounds,
    /// A clamp that nothing can satisfy.
    #[error("the bounds cross, got min = {min} and max = {max}, allowed: min at most max")]
    BoundsCross {
        /// `min`.
        min: f32,
        /// `max`.
        max: f32,
    },
    /// A rule that is off at strength 0 and adds something at strength 0.
    #[error(
        "an adjustable rule does nothing at strength 0, got `debias` with adjustable = true, allowed: one of the two (the \
         de-bias vector as a rule of its own)"
    )]
    AdjustableDebias,
    /// A pair whose lengths were made for each other.
    #[error("a pair keeps the lengths it was made with, got `debias` with unit = \"norm\", allowed: one of the two")]
    NormDebias,
    /// Layers that cannot be read.
    #[error("{why}, got {got}, allowed: {allowed}")]
    BadLayers {
        /// What is wrong.
        why: &'static str,
        /// The value as it was typed.
        got: String,
        /// What may be written.
        allowed: &'static str,
    },
    /// Heads that cannot be read.
    #[error("{why}, got {got}, allowed: {allowed}")]
    BadHeads {
        /// What is wrong.
        why: &'static str,
        /// The value as it was typed.
        got: String,
        /// What may be written.
        allowed: &'static str,
    },
    /// A condition that is nothing, or several things at once.
    #[error("a condition is exactly one thing, got {got}, allowed: one of {allowed}")]
    NotOneForm {
        /// The keys that say what it is.
        got: String,
        /// Those keys that there are.
        allowed: String,
    },
    /// A key that does not belong to this kind of condition.
    #[error("this key is for another kind of condition, got `{got}` with `{form}`, allowed: {allowed} beside it")]
    KeyOfCondition {
        /// The key.
        got: &'static str,
        /// What the condition is.
        form: &'static str,
        /// Keys it can have.
        allowed: String,
    },
    /// A threshold for something that has none.
    #[error("a soft probe has no threshold, got `above` with soft = true, allowed: one of the two")]
    SoftAbove,
    /// A lower threshold for what is not held.
    #[error("only what is held can be let go, got `below` without at = \"prompt\", allowed: at = \"prompt\" beside it")]
    BelowOfRow,
    /// A lower threshold for something that has none.
    #[error("a soft probe has no threshold, got `below` with soft = true, allowed: one of the two")]
    SoftBelow,
    /// Thresholds between which nothing lies.
    #[error("the thresholds cross, got above = {above} and below = {below}, allowed: below less than above")]
    ThresholdsCross {
        /// `above`.
        above: f32,
        /// `below`.
        below: f32,
    },
    /// More tables in one condition than it may have.
    #[error("too many tables in one condition, got more than {max}, allowed: at most {max}")]
    TooManyConditions {
        /// The cap.
        max: usize,
    },
    /// More routes than a profile may have.
    #[error("too many routes, got {got}, allowed: at most {max}")]
    TooManyRoutes {
        /// Number of `[[route]]` tables.
        got: usize,
        /// The cap.
        max: usize,
    },
    /// More rules than a profile may have.
    #[error("too many rules, got {got}, allowed: at most {max}")]
    TooManyRules {
        /// Number of tables of one kind.
        got: usize,
        /// The cap.
        max: usize,
    },
}

fn did_you_mean(suggestion: &Option<&'static str>) -> String {
    suggestion.map_or(String::new(), |s| format!(" (did you mean {s}?)"))
}
