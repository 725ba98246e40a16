//! A contrast, beside what it is made of: the same two sequences in one batch, and one after the other.

use evenkeel_ffi::host::{ContextOptions, Row, Token};

use super::{
    contender::{Case, Contender, Field},
    library::{self, Library, write},
    rounds::BLOCK,
};
use crate::{failure::Failure, stats::Stats};

/// Cells of a sequence.
const CELLS: usize = 512;
/// Tokens of a prompt before, in and after its context.
const PROMPT: [usize; 3] = [8, 32, 8];

/// Two special tokens of the model, as a profile names them.
fn markers(library: &Library) -> Result<[Token; 2], Failure> {
    let model = &library.session.model;
    let usable = |t: &Token| model.is_special(*t) && !model.piece(*t).is_empty() && model.piece(*t).is_ascii();
    let mut special = (0..model.n_vocab() as Token).filter(usable);
    match (special.next(), special.next()) {
        (Some(open), Some(close)) => Ok([open, close]),
        _ => Err(Failure::usage(
            "--only contrast: the model has no two special tokens that could stand around a context",
        )),
    }
}

/// Two sequences of a plain context in one batch and in two, and one sequence under a contrast.
pub fn field(library: &Library) -> Result<Field, Failure> {
    let folder = library::folder()?;
    let [open, close] =
        markers(library)?.map(|t| String::from_utf8_lossy(&library.session.model.piece(t)).into_owned());
    let text = format!(
        "schema = 1\nname = \"contrast\"\n[contrast]\nwithout = {{ open = {open:?}, close = {close:?} }}\nalpha = 1.0\n\
         plausibility = 0\n"
    );
    let profile = write(folder.path().join("contrast.toml"), text)?;
    let options = |n: usize| ContextOptions { n_seq_max: n as u32, ..library.session.options(n * CELLS) };
    let mut contenders = Vec::new();
    for case in [Case::Pair, Case::Contrast, Case::TwoPasses] {
        let under = (case == Case::Contrast).then_some(&*profile);
        let context = library.context(under, &options(if under.is_some() { 1 } else { 2 }))?;
        contenders.push(Contender { case, context, pos: 0 });
    }
    Ok(Field::of(contenders, folder))
}

/// Makes room for a block: where the cells are full, every sequence begins again with its prompt.
pub fn prepare(contender: &mut Contender, library: &Library) -> Result<(), Failure> {
    let [before, within, after] = PROMPT;
    let left = before + after;
    if contender.pos > 0 && contender.pos + BLOCK + within + 2 <= CELLS {
        return Ok(());
    }
    let [open, close] = markers(library)?;
    contender.context.clear();
    let n_vocab = library.session.model.n_vocab().saturating_sub(8).max(1);
    let words =
        |from: usize, n: usize| (from..from + n).map(|i| (4 + i * 104_729 % n_vocab) as Token).collect::<Vec<_>>();
    let (begin, end) = (words(0, before), words(before + within, after));
    let full = [&begin[..], &[open], &words(before, within), &[close], &end].concat();
    let without = [begin, end].concat();
    let sequences = if contender.case == Case::Contrast { vec![full] } else { vec![full, without] };
    for (seq, tokens) in sequences.iter().enumerate() {
        let row = |(pos, token): (usize, &Token)| Row {
            token: *token,
            pos: pos as i32,
            seq: seq as i32,
            output: pos + 1 == tokens.len(),
        };
        let rows: Vec<Row> = tokens.iter().enumerate().map(row).collect();
        contender.context.decode_rows(&rows)?;
    }
    contender.pos = left;
    contender.wait()
}

/// Feeds tokens one by one, as generation does: to the sequence, and to what it is without its context.
pub fn decode(contender: &mut Contender, tokens: &[Token]) -> Result<(), Failure> {
    let more = PROMPT[1] + 2;
    for token in tokens {
        let pos = contender.pos;
        let row = |seq: i32, pos: usize| Row { token: *token, pos: pos as i32, seq, output: true };
        let (full, without) = (row(0, pos + more), row(1, pos));
        match contender.case {
            Case::Pair => contender.context.decode_rows(&[full, without])?,
            Case::TwoPasses => {
                contender.context.decode_rows(&[full])?;
                contender.wait()?;
                contender.context.decode_rows(&[without])?;
            }
            _ => contender.context.decode_rows(&[full])?,
        }
        contender.pos += 1;
        contender.wait()?;
    }
    Ok(())
}

/// Whether the contrast's logits are twice those of the one row of the pair less those of the other, as near as batches of
/// other shapes come to the same, and the library has counted them.
pub fn is_right(field: &mut Field, stats: &Stats) -> bool {
    let contrast = stats.contexts.iter().map(|c| c.contrast).find(|c| c.rows > 0);
    if !contrast.is_some_and(|c| c.joined > 0 && c.tokens >= c.rows) {
        return false;
    }
    let mut of =
        |case, row| -> Option<Vec<f32>> { Some(field.bits(case, row)?.into_iter().map(f32::from_bits).collect()) };
    let (Some(full), Some(without), Some(got)) = (of(Case::Pair, 0), of(Case::Pair, 1), of(Case::Contrast, -1)) else {
        return false;
    };
    let (mut error, mut power, mut moved) = (0.0f64, 0.0f64, 0.0f64);
    for ((full, without), got) in full.iter().zip(&without).zip(&got) {
        let expected = f64::from(2.0 * full - without);
        error += (f64::from(*got) - expected).powi(2);
        power += expected.powi(2);
        moved += f64::from(full - without).powi(2);
    }
    // The second context keeps the cells of a prompt that comes again, and evaluates its last token alone: from then on quantised
    // activations round otherwise, which a model of random weights makes the most of.
    error < 1e-2 * power && error < 0.1 * moved
}
