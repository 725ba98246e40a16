//! The contexts that are compared: all on the same weights, in one process.

use evenkeel_ffi::host::{Context, Outputs, Token};
use evenkeel_model::ControlVector;

use super::{
    contrast, crowd,
    library::{self, Library, probe, write, write_vector},
    rounds::Phase,
};
use crate::failure::Failure;

/// What a context runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Made before the plug-in was loaded.
    Plain,
    /// Made last, without a profile: what the machine makes of two equal things, one of which came later.
    PlainAgain,
    /// llama.cpp's own control vector.
    Native,
    /// A profile without a rule.
    Empty,
    /// A profile that adds the same vector as `Native`.
    Add,
    /// A profile that takes a direction out of every layer where a probe of that layer says so.
    Gated,
    /// Many sequences under one profile, whose rule has a gate per row.
    One,
    /// The same once more.
    OneAgain,
    /// Many sequences under several profiles of that kind.
    Several,
    /// A plain context with a sequence and the same without its context, in one batch.
    Pair,
    /// The same, one after the other.
    TwoPasses,
    /// The one set off against the other.
    Contrast,
    /// Segments that see each other and have no order.
    Pine,
    /// Segments that do not see each other.
    Set,
}

impl Case {
    /// Those of one sequence, in the order in which contexts are made.
    pub const SINGLE: [Case; 6] = [Case::Plain, Case::Empty, Case::Gated, Case::Native, Case::Add, Case::PlainAgain];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Case::Plain => "plain",
            Case::PlainAgain => "plain again",
            Case::Native => "native vector",
            Case::Empty => "empty profile",
            Case::Add => "add",
            Case::Gated => "project where a probe says so",
            Case::One => "one plan",
            Case::OneAgain => "one plan again",
            Case::Several => "4 plans",
            Case::Pair => "batch of two",
            Case::TwoPasses => "two passes",
            Case::Contrast => "contrast",
            Case::Pine => "pine",
            Case::Set => "set",
        }
    }

    /// Whether the plug-in has something to do in it.
    pub fn is_steered(self) -> bool {
        !matches!(self, Case::Plain | Case::PlainAgain | Case::Native | Case::Pair | Case::TwoPasses)
    }
}

/// A context and how far it has come.
pub struct Contender {
    pub case: Case,
    pub context: Context,
    pub pos: usize,
}

/// The contexts, and the folder of the profiles that steer some of them.
pub struct Field {
    pub contenders: Vec<Contender>,
    _folder: tempfile::TempDir,
}

impl Field {
    /// Those of one sequence, for `n_ctx` tokens.
    pub fn single(library: &Library, n_ctx: usize) -> Result<Field, Failure> {
        let vector = library.vector(7);
        let folder = library::folder()?;
        let options = library.session.options(n_ctx);
        // Only the first is made before the plug-in is loaded. Where a context's memory lies depends on when it was made,
        // and that alone is worth some percent: so those that are compared stand next to each other, and the last one,
        // plain again, shows what coming late costs.
        let mut contenders = vec![Contender { case: Case::Plain, context: library.session.context(n_ctx)?, pos: 0 }];
        let path = |name: &str| folder.path().join(name);
        write_vector(path("add.gguf"), &vector)?;
        write(path("probe.safetensors"), probe(&vector))?;
        for case in &Case::SINGLE[1..] {
            let profile = match case {
                Case::Empty => Some(write(path("empty.toml"), "schema = 1\nname = \"empty\"\n")?),
                Case::Add => Some(write(path("add.toml"), ADD)?),
                Case::Gated => Some(write(path("gated.toml"), gated(&vector))?),
                _ => None,
            };
            let mut context = library.context(profile.as_deref(), &options)?;
            if *case == Case::Native {
                let values: Vec<f32> = vector.directions.values().flatten().copied().collect();
                context.set_control_vector(Some(&values))?;
            }
            contenders.push(Contender { case: *case, context, pos: 0 });
        }
        Ok(Field { contenders, _folder: folder })
    }

    /// Contexts that were made elsewhere.
    pub fn of(contenders: Vec<Contender>, folder: tempfile::TempDir) -> Field {
        Field { contenders, _folder: folder }
    }

    /// The logits of an output row of a case's last batch, as bits; -1 is the last.
    pub fn bits(&mut self, case: Case, row: i32) -> Option<Vec<u32>> {
        let contender = self.contenders.iter_mut().find(|c| c.case == case)?;
        Some(contender.context.logits(row)?.iter().map(|l| l.to_bits()).collect())
    }
}

impl Contender {
    /// What has to be done before a block and is no part of it.
    pub fn prepare(&mut self, phase: Phase) -> Result<(), Failure> {
        if phase == Phase::Batch { crowd::prepare(self) } else { Ok(()) }
    }

    /// One block.
    pub fn block(&mut self, phase: Phase, tokens: &[Token]) -> Result<(), Failure> {
        match phase {
            Phase::Decode => self.decode(tokens),
            Phase::Prefill => self.prefill(tokens),
            Phase::Batch => crowd::decode(self, tokens),
            Phase::Contrast => contrast::decode(self, tokens),
        }
    }

    /// Feeds tokens one by one, as generation does, and waits for each one's logits.
    pub fn decode(&mut self, tokens: &[Token]) -> Result<(), Failure> {
        for token in tokens {
            self.context.decode(&[*token], self.pos, 0, Outputs::Last)?;
            self.pos += 1;
            self.wait()?;
        }
        Ok(())
    }

    /// Feeds tokens as one prompt after forgetting everything.
    fn prefill(&mut self, tokens: &[Token]) -> Result<(), Failure> {
        self.context.clear();
        self.context.decode(tokens, 0, 0, Outputs::Last)?;
        self.pos = tokens.len();
        self.wait()
    }

    /// Waits for the logits of the last batch.
    pub fn wait(&mut self) -> Result<(), Failure> {
        let row = self.context.logits(-1);
        row.map(|_| ()).ok_or_else(|| Failure::new("llama.cpp gave no logits"))
    }
}

/// On every layer that the file has.
pub const ADD: &str =
    "schema = 1\nname = \"add\"\n[[steer]]\nname = \"random\"\ndirection = \"add.gguf\"\noperator = \"add\"\n";

/// As many rules as a profile may have.
fn gated(vector: &ControlVector) -> String {
    let rule = |layer: &u32| {
        format!(
            "\n[[steer]]\nname = \"layer-{layer}\"\ndirection = \"add.gguf\"\noperator = \"project\"\nlayers = {layer}\n\
             when = {{ probe = \"probe.safetensors\", layer = {layer}, above = 0.5 }}\n"
        )
    };
    let rules: String = vector.directions.keys().take(64).map(rule).collect();
    format!("schema = 1\nname = \"gated\"\n{rules}")
}
