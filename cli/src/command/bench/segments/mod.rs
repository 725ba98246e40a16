//! Prompts whose documents count the same in any order: what that costs in time and memory.
//!
//! In each round every context evaluates the same prompt in one micro-batch, and then a few blocks of answer, which take turns.
//! Every other round has the documents in the opposite order: so the same evaluations show that the order does not count.

mod cost;
mod memory;
mod prompt;
mod report;
mod show;

use evenkeel_ffi::host::{ContextOptions, Outputs, Token};
use indicatif::ProgressBar;

use self::{
    memory::Memory,
    prompt::Prompt,
    report::{MemoryRow, OrderRow},
};
pub use self::{
    report::{SegmentsReport, targets},
    show::show,
};
use super::{
    contender::{ADD, Case, Contender},
    library::{self, Library, write, write_vector},
    rounds::{BLOCK, Block, Measured, Phase, order, timed, tokens},
};
use crate::{failure::Failure, stats::Stats};

/// Rounds unless more are asked for: a prompt takes long.
pub const PAIRS: u32 = 6;
/// How many documents unless others are asked for.
pub const DOCUMENTS: [u32; 4] = [2, 5, 10, 20];
/// Blocks of answer after each prompt.
const BLOCKS: usize = 4;
/// Contexts that are compared, in the order in which they are made. The two plain ones come before pine, whose graphs llama.cpp
/// is asked for more room for.
const CASES: [Case; 4] = [Case::Plain, Case::Set, Case::PlainAgain, Case::Pine];

/// Units of work of [`measure`], for a bar.
pub fn steps(pairs: usize) -> usize {
    (CASES.len() + 1) + pairs * CASES.len() * (1 + BLOCKS)
}

/// Prompts of this many documents.
pub fn measure(
    library: &Library,
    documents: usize,
    pairs: usize,
    bar: &ProgressBar,
) -> Result<SegmentsReport, Failure> {
    bar.set_message(format!("{documents} documents"));
    let prompt = Prompt { documents, n_vocab: library.session.model.n_vocab() };
    let mut bed = Bed::new(library, prompt, bar)?;
    let before = Memory::now();
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    let mut logits: Vec<[Vec<f32>; 2]> = vec![Default::default(); CASES.len()];
    for round in 0..pairs {
        let turned = round % 2 == 1;
        let tokens = prompt.tokens(turned);
        let mut blocks = Vec::new();
        for i in order(round, CASES.len()) {
            blocks.push((CASES[i], bed.prompt(i, &tokens)?));
            logits[i][usize::from(turned)] = bed.logits(i)?;
            bar.inc(1);
        }
        prefill.push(blocks);
        for block in round * BLOCKS..(round + 1) * BLOCKS {
            let answer = self::tokens(block, BLOCK, prompt.n_vocab);
            let mut blocks = Vec::new();
            for i in order(block, CASES.len()) {
                blocks.push((CASES[i], bed.answer(i, &answer)?));
                bar.inc(1);
            }
            decode.push(blocks);
        }
    }
    let grown = before.zip(Memory::now()).map(|(before, after)| after.own - before.own);
    bed.check()?;
    let measured = |phase, tokens, rounds| Measured { phase, tokens, rounds, worst_call: 0.0 };
    let phases = [measured(Phase::Prefill, prompt.len() - 1, prefill), measured(Phase::Decode, BLOCK, decode)];
    let moved = CASES.iter().zip(&logits).map(|(case, [a, b])| OrderRow::new(*case, a, b)).collect();
    let shape = cost::Shape::of(&library.session.model);
    Ok(SegmentsReport::new(&prompt, (pairs, BLOCKS), &phases, shape, moved, (bed.memory, grown)))
}

/// The contexts, each after its first request.
struct Bed<'a> {
    library: &'a Library<'a>,
    prompt: Prompt,
    contenders: Vec<Contender>,
    memory: Vec<MemoryRow>,
    /// What had gone wrong before.
    trouble: serde_json::Map<String, serde_json::Value>,
    _folder: tempfile::TempDir,
}

impl<'a> Bed<'a> {
    /// Makes them. What a context and its first request take is its memory; a context with a direction on every layer is there
    /// for that alone.
    fn new(library: &'a Library<'a>, prompt: Prompt, bar: &ProgressBar) -> Result<Bed<'a>, Failure> {
        let folder = library::folder()?;
        let path = |name: &str| folder.path().join(name);
        write_vector(path("add.gguf"), &library.vector(7))?;
        let rows = prompt.len() as u32;
        // As many cells as a request has; its prompt is one micro-batch for everyone.
        let options = library.session.options(prompt.len() + (BLOCKS + 1) * BLOCK);
        let options = ContextOptions { n_batch: rows, n_ubatch: rows, ..options };
        let mut bed = Bed {
            library,
            prompt,
            contenders: vec![],
            memory: vec![],
            trouble: serde_json::Map::new(),
            _folder: library::folder()?,
        };
        let tokens = prompt.tokens(false);
        let answer = self::tokens(0, BLOCK, prompt.n_vocab);
        for case in [Case::Plain, Case::Add, Case::Set, Case::PlainAgain, Case::Pine] {
            let profile = match case {
                Case::Add => Some(ADD.to_owned()),
                Case::Set | Case::Pine => Some(invariance(case)),
                _ => None,
            };
            let peak = Memory::forget_peak();
            let before = Memory::now();
            let context = match profile {
                None => library.plain(&options)?,
                Some(text) => library.context(Some(&write(path(&format!("{}.toml", case.name())), text)?), &options)?,
            };
            bed.contenders.push(Contender { case, context, pos: 0 });
            let i = bed.contenders.len() - 1;
            bed.begin(i, tokens[0])?;
            bed.feed(i, &tokens[1..])?;
            bed.contenders[i].decode(&answer)?;
            if let Some((before, after)) = before.zip(Memory::now()) {
                bed.memory.push(MemoryRow::new(case, after.own - before.own, peak.then_some(after.peak - before.all)));
            }
            if case == Case::Add {
                bed.contenders.pop();
            }
            bar.inc(1);
        }
        bed.trouble = Stats::of(library.plugin()?)?.trouble;
        bed._folder = folder;
        Ok(bed)
    }

    /// Forgets the last request, begins the next with its first token, and announces its segments. The token is fed by itself
    /// as cells are cleared by address here, which the plug-in learns with the next call that decodes.
    fn begin(&mut self, i: usize, first: Token) -> Result<(), Failure> {
        let contender = &mut self.contenders[i];
        contender.context.clear();
        contender.context.decode(&[first], 0, 0, Outputs::None)?;
        contender.context.synchronize();
        contender.pos = 1;
        if matches!(contender.case, Case::Pine | Case::Set) {
            self.library.plugin()?.set_segments(&contender.context, 0, &self.prompt.segments())?;
        }
        Ok(())
    }

    fn feed(&mut self, i: usize, tokens: &[Token]) -> Result<(), Failure> {
        let contender = &mut self.contenders[i];
        contender.context.decode(tokens, contender.pos, 0, Outputs::Last)?;
        contender.pos += tokens.len();
        contender.wait()
    }

    /// Evaluates a prompt but for its first token, from an empty context, in one micro-batch.
    fn prompt(&mut self, i: usize, tokens: &[Token]) -> Result<Block, Failure> {
        let plugin = self.library.plugin()?;
        self.begin(i, tokens[0])?;
        timed(plugin, || self.feed(i, &tokens[1..]))
    }

    /// Evaluates some of an answer.
    fn answer(&mut self, i: usize, tokens: &[Token]) -> Result<Block, Failure> {
        let plugin = self.library.plugin()?;
        timed(plugin, || self.contenders[i].decode(tokens))
    }

    fn logits(&mut self, i: usize) -> Result<Vec<f32>, Failure> {
        let row = self.contenders[i].context.logits(-1);
        row.map(<[f32]>::to_vec).ok_or_else(|| Failure::new("llama.cpp gave no logits"))
    }

    /// Segments that the plug-in did not take into account cost nothing and say nothing.
    fn check(&self) -> Result<(), Failure> {
        let trouble = Stats::of(self.library.plugin()?)?.trouble;
        if trouble == self.trouble {
            return Ok(());
        }
        let new: Vec<String> =
            trouble.iter().filter(|(k, v)| self.trouble.get(*k) != Some(v)).map(|(k, v)| format!("{k}: {v}")).collect();
        Err(Failure::new(format!("the plug-in could not do what was measured: {}", new.join(", "))))
    }
}

/// A profile whose segments a program names.
fn invariance(case: Case) -> String {
    let mode = case.name();
    format!("schema = 1\nname = \"{mode}\"\n\n[invariance]\nmode = \"{mode}\"\n")
}
