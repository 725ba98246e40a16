//! `instead`: a text stands in the place of each context.

use super::*;

/// The tokens of the vocabulary's letters: after a space, and within a word.
fn after_space(letter: u8) -> usize {
    288 + usize::from(letter - b'a')
}

fn within(letter: u8) -> usize {
    262 + usize::from(letter - b'a')
}

/// What is fed, with its contexts or with others in their place.
struct Script {
    text: String,
    at: usize,
    instead: Option<Vec<usize>>,
}

impl Script {
    fn group(&mut self, command: &str, tokens: &[usize]) {
        if !tokens.is_empty() {
            let list: Vec<String> = tokens.iter().map(ToString::to_string).collect();
            self.text += &format!("{command} 0:{}:{}\n", self.at, list.join(","));
            self.at += tokens.len();
        }
    }

    fn context(&mut self, inside: &[usize], markers: [&[usize]; 2]) {
        match self.instead.clone() {
            Some(instead) => self.group("fill", &instead),
            None => self.group("fill", &[markers[0], inside, markers[1]].concat()),
        }
    }
}

/// Both programs: with contexts, and with what stands in their place.
fn scripts(instead: &[usize], fill: impl Fn(&mut Script)) -> [String; 2] {
    [None, Some(instead.to_vec())].map(|instead| {
        let mut script = Script { text: String::new(), at: 0, instead };
        fill(&mut script);
        script.text
    })
}

/// Two contexts, one of them first; then what follows, in one batch and token by token.
fn two_contexts(markers: [&[usize]; 2]) -> impl Fn(&mut Script) {
    move |script| {
        script.context(&[20, 21, 22, 23, 24, 25], markers);
        script.group("fill", &[30, 31, 32]);
        script.context(&[26, 27], markers);
        script.group("feed", &[33, 34, 35]);
        (0..4).for_each(|i| script.group("feed", &[40 + i]));
    }
}

/// Text has a space in front in this vocabulary, as everywhere in it.
#[test]
fn the_model_sees_the_text_in_the_place_of_contexts() {
    let table = "[contrast]\nwithout = { open = \"<s>\", close = \"</s>\", instead = \"ab\" }\n";
    for (arch, ubatch) in [(Arch::Llama, 512), (Arch::Llama, 4), (Arch::Gemma2, 512), (Arch::Lfm2, 512)] {
        let mut bench = Bench { table, ..Bench::of(arch) };
        bench.decode.ubatch = ubatch;
        let [full, other] = scripts(&[after_space(b'a'), within(b'b')], two_contexts([&[OPEN], &[CLOSE]]));
        bench.check(&full, &other, EXACT, &format!("{arch:?}, micro-batches of {ubatch}"));
    }
}

/// Special tokens in it are read; and the prompt may consist of nothing but its context.
#[test]
fn special_tokens_in_it_are_read() {
    let table =
        "[contrast]\nwithout = { open = \"[[\", close = \"]]\", instead = \"</s>c\" }\nmarkers-in-text = true\n";
    let bench = Bench { table, ..Bench::new() };
    let byte = |byte: u8| 3 + usize::from(byte);
    let markers: [&[usize]; 2] = [&[byte(b'['), byte(b'[')], &[byte(b']'), byte(b']')]];
    let [full, other] = scripts(&[CLOSE, after_space(b'c')], two_contexts(markers));
    bench.check(&full, &other, EXACT, "markers in text");
    // The last token of the context is a row that is set off, too.
    let [full, other] = ["feed 0:0:94,94,50,51,96,96\n", "feed 0:0:2,290\n"];
    let (log, recording) = bench.run(full, "alpha = 1.5\nplausibility = 0\n");
    let recording = recording.unwrap_or_else(|| panic!("{log}"));
    let last =
        |recording: Recording| Recording { rows: vec![recording.rows.last().cloned().expect("rows")], ..recording };
    let (got, full, other) = (last(recording), last(bench.plain(full)), last(bench.plain(other)));
    let (worst, moved) = distances(&got, &full, &other);
    assert!(worst < EXACT && moved > 1e-2, "{worst:e}, {moved:e}\n{log}");
}

/// A longer text than the context: the sequence of the second context is the longer one. Cells are taken back and copied.
#[test]
fn whatever_a_host_does_to_cells() {
    let table =
        "[contrast]\nwithout = { open = \"<s>\", close = \"</s>\", instead = \"abcdefghijklmnopqrstuvwxyz\" }\n";
    let mut bench = Bench { table, ..Bench::new() };
    bench.decode.sequences = 2;
    let mut tokens = vec![after_space(b'a')];
    tokens.extend((b'b'..=b'z').map(within));
    let [full, other] = scripts(&tokens, |script| {
        script.group("fill", &[30, 31, 32]);
        script.context(&[26, 27], [&[OPEN], &[CLOSE]]);
        script.group("feed", &[33, 34, 35]);
        script.at -= 2;
        script.text += &format!("remove 0 {} -1\n", script.at);
        script.group("feed", &[36, 37]);
        script.text += &format!("save 0\nremove 0 -1 -1\nload 0\ncopy 0 1\nfeed 1:{}:44\n", script.at);
        script.group("feed", &[38]);
    });
    bench.check(&full, &other, EXACT, "taken back, restored, copied");
}
