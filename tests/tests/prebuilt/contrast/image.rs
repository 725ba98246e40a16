//! `without = "image"`: rows of embeddings are left out.

use super::*;

pub(super) const IMAGE: &str = "[contrast]\nwithout = \"image\"\n";

/// What is fed to a sequence, with its images or without, each from the position on where the one before ended.
pub(super) struct Feed {
    sequence: usize,
    at: usize,
    without: bool,
    /// An image's rows are a grid of two columns at one position, and what follows goes on after its height.
    grid: bool,
}

impl Feed {
    pub(super) fn new(arch: Arch, without: bool) -> Self {
        Self { sequence: 0, at: 0, without, grid: arch == Arch::Qwen2Vl }
    }

    /// A group of a batch's.
    fn group(&mut self, numbers: &[usize], positions: usize) -> String {
        let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let group = format!("{}:{}:{}", self.sequence, self.at, list.join(","));
        self.at += positions;
        group
    }

    /// Tokens of their own for each seed, in one batch.
    pub(super) fn text(&mut self, command: &str, seed: usize, n: usize) -> String {
        let tokens: Vec<usize> = (0..n).map(|i| 3 + (i * 37 + seed * 101) % 300).collect();
        format!("{command} {}\n", self.group(&tokens, n))
    }

    /// The same, token by token.
    pub(super) fn steps(&mut self, seed: usize, n: usize) -> String {
        (0..n).map(|i| self.text("feed", seed + i, 1)).collect()
    }

    /// An image of so many rows.
    pub(super) fn image(&mut self, seed: usize, n: usize) -> String {
        if self.without {
            return String::new();
        }
        let seeds: Vec<usize> = (0..n).map(|i| seed * 1000 + i).collect();
        let positions = if self.grid { n.div_ceil(2).max(n.min(2)) } else { n };
        format!("image 0 {}\n", self.group(&seeds, positions))
    }
}

impl Bench {
    fn of_images(arch: Arch) -> Self {
        Self { table: IMAGE, ..Self::of(arch) }
    }

    /// Checks what `script` feeds with images and without.
    #[track_caller]
    fn check_images(&self, arch: Arch, what: &str, script: impl Fn(&mut Feed) -> String) -> String {
        let [full, without] = [false, true].map(|without| script(&mut Feed::new(arch, without)));
        let log = self.check(&full, &without, exact(arch), &format!("{arch:?}, {what}"));
        assert!(!log.contains("evenkeel: warning"), "{arch:?}, {what}: {log}");
        log
    }
}

/// Also with positions of several dimensions, with a sliding window, and with a state that cannot be rolled back.
#[test]
fn every_row_is_that_of_two_runs() {
    for arch in [Arch::Llama, Arch::Qwen2Vl, Arch::Gemma2, Arch::Lfm2] {
        let mut bench = Bench::of_images(arch);
        for (ubatch, separate) in [(512, false), (8, false), (512, true)] {
            (bench.decode.ubatch, bench.decode.separate) = (ubatch, separate);
            let what = format!("micro-batches of {ubatch}, {separate}");
            bench.check_images(arch, &what, |f| {
                let parts = [f.text("fill", 1, 7), f.image(1, 11), f.text("tail 2", 2, 5), f.steps(3, 3)];
                parts.concat() + &f.image(2, 4) + &f.text("tail 1", 4, 9) + &f.steps(5, 3)
            });
        }
    }
}

/// Its last row is set off against the text before it.
#[test]
fn the_image_last() {
    let bench = Bench::of_images(Arch::Llama);
    let full = "fill 0:0:5,6,7\nimage 1 0:3:1,2,3,4\n";
    bench.check(full, "fill 0:0:5,6\nfeed 0:2:7\n", EXACT, "the image last");
}

#[test]
fn before_an_image_and_without_one_every_bit_is_the_models_own() {
    for arch in [Arch::Llama, Arch::Qwen2Vl] {
        let mut bench = Bench::of_images(arch);
        let mut f = Feed::new(arch, false);
        let script = [f.text("tail 3", 1, 6), f.steps(2, 2), f.image(1, 6), f.steps(4, 2)].concat();
        let (log, recording) = bench.run(&script, "");
        let (rows, own) = (recording.unwrap_or_else(|| panic!("{log}")).rows, bench.plain(&script).rows);
        assert_eq!(rows[..5], own[..5], "{arch:?}: before it");
        assert!(rows[5..].iter().zip(&own[5..]).all(|(row, own)| row != own), "{arch:?}: after it");
        let script =
            Feed::new(arch, false).text("tail 3", 1, 16) + &Feed { at: 16, ..Feed::new(arch, true) }.steps(2, 4);
        let (log, recording) = bench.run(&script, "");
        bench.plain(&script).assert_same(&recording.unwrap_or_else(|| panic!("{log}")), "without one");
        assert!(!log.contains("a second context is made"), "{log}");
        // Beside a sequence with one.
        bench.decode.sequences = 2;
        let mut f = Feed::new(arch, false);
        let script = [f.text("fill", 1, 6), f.image(1, 6)].concat();
        let script = format!("{script}feed 0:{at}:40 1:0:41\nfeed 1:1:42 0:{next}:43\n", at = f.at, next = f.at + 1);
        let (log, recording) = bench.run(&script, "");
        let (rows, own) = (recording.unwrap_or_else(|| panic!("{log}")).rows, bench.plain(&script).rows);
        for row in 0..rows.len() {
            assert_eq!(rows[row] == own[row], own[row].label.contains(" 1 "), "{arch:?}: {}", own[row].label);
        }
    }
}

/// Several sequences in a batch; cells that are taken back, also into the image; drafts; copies.
#[test]
fn whatever_a_host_does_to_cells() {
    for arch in [Arch::Llama, Arch::Qwen2Vl] {
        let mut bench = Bench::of_images(arch);
        bench.decode.sequences = 3;
        for separate in [false, true] {
            bench.decode.separate = separate;
            bench.check_images(arch, &format!("two sequences, {separate}"), |a| {
                let mut b = Feed { sequence: 1, ..Feed::new(arch, a.without) };
                let mut script = a.text("fill", 1, 6) + &b.text("fill", 2, 9) + &a.image(1, 5) + &b.image(2, 8);
                for i in 0..4 {
                    script += &format!("feed {} {}\n", a.group(&[40 + i], 1), b.group(&[50 + i], 1));
                }
                script
            });
            bench.check_images(arch, &format!("copied, {separate}"), |a| {
                let script = a.text("fill", 1, 6) + &a.image(1, 5) + &a.steps(2, 2) + "copy 0 1\n";
                let mut b = Feed { sequence: 1, at: a.at, ..Feed::new(arch, a.without) };
                let ends = format!("feed {} {}\n", a.group(&[40], 1), b.group(&[41], 1));
                script + &ends + &b.steps(5, 2) + &a.steps(8, 2)
            });
        }
        bench.check_images(arch, "drafts", |f| {
            let mut script = f.text("fill", 1, 6) + &f.image(1, 5) + &f.steps(2, 1);
            for seed in 3..6 {
                script += &f.text("feed", seed, 4);
                f.at -= 2;
                script += &format!("remove 0 {} -1\n", f.at);
            }
            script + &f.steps(9, 2)
        });
        bench.check_images(arch, "another image after the same text", |f| {
            let script = f.text("fill", 1, 6);
            let text = f.at;
            let first = script + &f.image(1, 5) + &f.steps(2, 2);
            f.at = text;
            first + &format!("remove 0 {text} -1\n") + &f.image(7, 3) + &f.steps(4, 3)
        });
        // The image goes: nothing is set off any more.
        let mut f = Feed::new(arch, false);
        let with = f.text("fill", 1, 6) + &f.image(1, 5) + &f.steps(2, 2);
        let script = with + "remove 0 6 -1\n" + &Feed { at: 6, ..Feed::new(arch, false) }.steps(4, 3);
        let (log, recording) = bench.run(&script, "");
        let (rows, own) = (recording.unwrap_or_else(|| panic!("{log}")).rows, bench.plain(&script).rows);
        assert!(rows[..2] != own[..2] && rows[2..] == own[2..], "{arch:?}: {log}");
    }
}

/// A sequence that was saved is what it was, images included; of a state that nobody knows, nothing is said.
#[test]
fn states() {
    for arch in [Arch::Llama, Arch::Qwen2Vl] {
        let bench = Bench::of_images(arch);
        bench.check_images(arch, "saved and restored", |f| {
            let begin = f.text("fill", 1, 6) + &f.image(1, 5) + &f.steps(2, 2);
            begin + "save 0\nremove 0 -1 -1\nload 0\n" + &f.steps(5, 3)
        });
        let mut f = Feed::new(arch, false);
        let begin = f.text("fill", 1, 6) + &f.image(1, 5);
        let (log, recording) = bench.run(&format!("{begin}save all\nload all\n{}", f.steps(5, 1)), "");
        let rows = recording.unwrap_or_else(|| panic!("{log}")).rows;
        assert!(log.contains("whether there are images among them"), "{log}");
        assert_eq!(rows[0].logits.iter().filter(|bits| f32::from_bits(**bits) > -1e20).count(), 1, "it can only end");
    }
}

/// An image is not there to be evaluated once more: a request with one is refused if it has a marked context, and left alone if
/// it has none.
#[test]
fn an_image_beside_a_marked_context() {
    for arch in [Arch::Llama, Arch::Qwen2Vl] {
        let bench = Bench::of(arch);
        let image = |begin: &str, at: usize| {
            let mut f = Feed { at, ..Feed::new(arch, false) };
            format!("fill 0:0:{begin}\n{}{}", f.image(1, 6), f.steps(2, 3))
        };
        let (log, recording) = bench.run(&image("5,1,6,2", 4), "");
        let rows = recording.unwrap_or_else(|| panic!("{log}")).rows;
        assert!(log.contains("beside its context it has an image or audio"), "{log}");
        assert_eq!(rows[0].logits.iter().filter(|bits| f32::from_bits(**bits) > -1e20).count(), 1, "it can only end");
        let script = image("5,7,6", 3);
        let (log, recording) = bench.run(&script, "");
        bench.plain(&script).assert_same(&recording.unwrap_or_else(|| panic!("{log}")), "no context");
        assert!(!log.contains("evenkeel: error") && !log.contains("a second context is made"), "{log}");
    }
}
