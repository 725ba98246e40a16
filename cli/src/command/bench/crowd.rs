//! Many sequences in one batch: all under one plan, or under several, each row with a gate of its own.

use evenkeel_ffi::host::{ContextOptions, Row, Token};

use super::{
    contender::{Case, Contender, Field},
    library::{self, Library, probe, write, write_vector},
};
use crate::failure::Failure;

/// Sequences, and rows of a batch.
pub const SEQUENCES: usize = 32;
/// As many plans as a graph holds unless a profile says otherwise.
pub const PLANS: usize = 4;
/// Batches in a block.
const STEPS: usize = 2;
/// Tokens in a block.
pub const BLOCK: usize = SEQUENCES * STEPS;
/// Tokens of a prompt.
const PROMPT: usize = 8;
/// Cells of a sequence: what llama.cpp rounds up to.
const CELLS: usize = 256;

/// The name of a plan's profile.
fn name(plan: usize) -> String {
    format!("plan-{plan}")
}

/// The plan of a sequence: neighbours have different ones.
pub fn plan_of(sequence: usize) -> usize {
    sequence % PLANS
}

/// One plan for all sequences, twice, and between them several plans. A rule adds a direction of its profile's own at every
/// layer, times what a probe of its profile's own says of the row: 32 rows are 32 gates.
pub fn field(library: &Library) -> Result<Field, Failure> {
    let folder = library::folder()?;
    let profiles = folder.path().join("profiles");
    std::fs::create_dir(&profiles).map_err(|e| Failure::new(format!("{}: {e}", profiles.display())))?;
    let names: Vec<String> = (0..PLANS).map(name).collect();
    for (plan, name) in names.iter().enumerate() {
        let (direction, condition) = (library.vector(100 + plan as u64), library.vector(200 + plan as u64));
        let rule = format!(
            "[[steer]]\nname = \"gated\"\ndirection = \"{name}.gguf\"\noperator = \"add\"\n\
             when = {{ probe = \"{name}.safetensors\", layer = 1, soft = true }}\n"
        );
        // What may be chosen has its place in a graph from the beginning.
        let choose = if plan == 0 { format!("[requests]\nchoose = {names:?}\n") } else { String::new() };
        for place in [folder.path(), &profiles] {
            write_vector(place.join(format!("{name}.gguf")), &direction)?;
            // At full size: probabilities spread out between 0 and 1.
            write(place.join(format!("{name}.safetensors")), probe(&condition.clone().scaled(100.0)))?;
        }
        write(profiles.join(format!("{name}.toml")), format!("schema = 1\nname = \"{name}\"\n{choose}{rule}"))?;
        if plan == 0 {
            write(folder.path().join("one.toml"), format!("schema = 1\nname = \"one\"\n{rule}"))?;
        }
    }
    let n_ctx = (SEQUENCES * CELLS) as u32;
    let options = ContextOptions { n_ctx, n_seq_max: SEQUENCES as u32, ..library.session.options(SEQUENCES * CELLS) };
    let mut contenders = Vec::new();
    for case in [Case::One, Case::Several, Case::OneAgain] {
        let profile = if case == Case::Several { profiles.clone() } else { folder.path().join("one.toml") };
        let context = library.context(Some(&profile), &options)?;
        if case == Case::Several {
            for sequence in 0..SEQUENCES {
                library.plugin()?.set_profile(&context, sequence as i32, &names[plan_of(sequence)])?;
            }
        }
        contenders.push(Contender { case, context, pos: 0 });
    }
    Ok(Field::of(contenders, folder))
}

/// Makes room for a block: where the cells are full, every sequence begins again with its prompt.
pub fn prepare(contender: &mut Contender) -> Result<(), Failure> {
    if contender.pos > 0 && contender.pos + STEPS <= CELLS {
        return Ok(());
    }
    contender.context.clear();
    let n_vocab = contender.context.model().n_vocab();
    let row = |i: usize| {
        let (seq, pos) = (i / PROMPT, i % PROMPT);
        let token = (4 + i * 104_729 % n_vocab.saturating_sub(8).max(1)) as Token;
        Row { token, pos: pos as i32, seq: seq as i32, output: pos + 1 == PROMPT }
    };
    let rows: Vec<Row> = (0..SEQUENCES * PROMPT).map(row).collect();
    contender.context.decode_rows(&rows)?;
    contender.pos = PROMPT;
    contender.wait()
}

/// One token of every sequence at a time.
pub fn decode(contender: &mut Contender, tokens: &[Token]) -> Result<(), Failure> {
    for step in tokens.chunks(SEQUENCES) {
        let pos = contender.pos as i32;
        let row = |(seq, token): (usize, &Token)| Row { token: *token, pos, seq: seq as i32, output: true };
        let rows: Vec<Row> = step.iter().enumerate().map(row).collect();
        contender.context.decode_rows(&rows)?;
        contender.pos += 1;
        contender.wait()?;
    }
    Ok(())
}

/// Each sequence of the one plan has the same logits, bit for bit, in both contexts, and each of another plan has others.
pub fn apart(field: &mut Field) -> bool {
    (0..SEQUENCES).all(|sequence| {
        let row = sequence as i32;
        let (one, several) = (field.bits(Case::One, row), field.bits(Case::Several, row));
        one.is_some() && several.is_some() && (one == several) == (plan_of(sequence) == 0)
    })
}
