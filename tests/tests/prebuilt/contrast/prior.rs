//! `prior = "without-context"` and `"without-image"`: the prior of labels is what the same request says without a part of it,
//! against float64 on the raw logits of two runs without the library.

use evenkeel_tests::Setting;
use evenkeel_tests::host::{Arguments, Server, ServerKind};
use serde_json::Value;

use super::image::{Feed, IMAGE};
use super::*;
use crate::calibrate::{each, letter, served::raw, softmax, values};

/// A table, to which keys can be added.
fn labels(prior: &str, keys: &str) -> String {
    let table = "[[calibrate]]\nname = \"labels\"\nlabels = [\"a\", \"b\", \"c\"]\nmethod = \"contextual\"";
    format!("{table}\nprior = \"without-{prior}\"\n{keys}\n")
}

/// The tokens of the labels.
fn tokens() -> Vec<Vec<usize>> {
    ['a', 'b', 'c'].map(letter).to_vec()
}

/// What labels have together, and their shares of that.
fn shares(logits: &[f64]) -> (f64, Vec<f64>) {
    let p = softmax(logits);
    let each: Vec<f64> = tokens().iter().map(|own| own.iter().map(|t| p[*t]).sum()).collect();
    let mass: f64 = each.iter().sum();
    (mass, each.iter().map(|share| share / mass).collect())
}

/// What the logits of a row should be, from those of the two runs; an error where nothing is calibrated.
fn expected(full: &[f64], without: &[f64], (alpha, zhao, least): (f64, bool, f64)) -> Result<Vec<f64>, Vec<f64>> {
    let mut after: Vec<f64> = full.iter().zip(without).map(|(f, w)| (1.0 + alpha) * f - alpha * w).collect();
    let ((mass, before), (known, prior)) = (shares(&after), shares(without));
    if mass <= least || known <= least {
        return Err(after);
    }
    let new = each(&before, |i, q| if zhao { q / prior[i] } else { q.ln() - prior[i].ln() });
    for ((own, before), new) in tokens().iter().zip(&before).zip(&new) {
        // A share below counts as this.
        let [new, before] = [new, before].map(|share| share.max(1e-30).ln());
        own.iter().for_each(|t| after[*t] += new - before);
    }
    Ok(after)
}

impl Bench {
    fn calibrated(&self, script: &str, keys: &str, calibrate: &str) -> (String, Recording) {
        let table = format!("{}plausibility = 0\n{keys}\n", self.table);
        let profile = self.scratch.profile(&Profile::empty().with(&table).then(calibrate));
        let decode = Decode { script: Some(script.to_owned()), ..self.decode.clone() };
        let (finished, recording) = CHost::node_llama_cpp().try_run(&decode, Some(Door::Preload), &profile);
        (finished.stderr.clone(), recording.unwrap_or_else(|| panic!("{}", finished.stderr)))
    }

    /// The rows of `full` after the first `before` are calibrated by those of `without`, for every form and with a contrast.
    #[track_caller]
    fn check_priors(&self, prior: &str, (full, without): (&str, &str), before: usize) {
        let (plain, other) = (self.plain(full), self.plain(without));
        assert_eq!(plain.rows.len(), other.rows.len());
        let known: Vec<f64> = other.rows[before..].iter().map(|row| shares(&values(&row.logits)).0).collect();
        let mut ordered = known.clone();
        ordered.sort_by(f64::total_cmp);
        let (least, n) = (0.5 * (ordered[1] + ordered[2]), plain.rows.len());
        for (alpha, zhao, least) in
            [(0.0, false, 0.0), (0.0, true, 0.0), (1.5, false, 0.0), (1.5, true, 0.0), (0.0, false, least)]
        {
            let least = least as f32;
            let form = if zhao { "form = \"zhao\"" } else { "form = \"log\"" };
            let keys = format!("{form}\nat = \"any\"\nmin-label-mass = {least:?}");
            let (log, got) = self.calibrated(full, &format!("alpha = {alpha:?}"), &labels(prior, &keys));
            assert!(!log.contains("evenkeel: error"), "{log}");
            let (mut worst, mut moved, mut kept) = (0.0f64, f64::MAX, 0);
            for ((got, full), without) in got.rows.iter().zip(&plain.rows).zip(&other.rows).skip(before) {
                let [own, full_row, without] = [got, full, without].map(|row| values(&row.logits));
                match expected(&full_row, &without, (alpha, zhao, f64::from(least))) {
                    Ok(wanted) => {
                        let gap =
                            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                        worst = worst.max(gap(&own, &wanted));
                        moved = moved.min(gap(&full_row, &wanted));
                    }
                    Err(_) => {
                        assert_eq!(got.logits, full.logits, "{}", got.label);
                        kept += 1;
                    }
                }
            }
            assert_eq!(got.rows[..before], plain.rows[..before], "before it");
            println!(
                "{prior}, alpha {alpha}, zhao {zhao}: {worst:.1e} of at least {moved:.1e}, {kept} of {n} rows kept"
            );
            assert!(worst < EXACT && moved > 1e-2, "{prior}, {alpha}, {zhao}: {worst:e} of {moved:e}\n{log}");
            assert_eq!(kept > 0, least > 0.0, "rows without labels keep their bits");
            assert!(kept + before < n - 2, "some rows are calibrated");
        }
    }
}

#[test]
fn without_its_context() {
    for arch in [Arch::Llama, Arch::Qwen2] {
        let bench = Bench::of(arch);
        let prompt = Prompt::default().and(1, 6).context(2, 9).and(3, 8);
        let [full, without] = [false, true].map(|without| {
            let begin = format!("feed {}\n", prompt.group(0, 0..4, without));
            let rest = format!("fill {}\n", prompt.group(0, 4..17, without));
            let steps: String =
                (17..prompt.len()).map(|at| format!("feed {}\n", prompt.group(0, at..at + 1, without))).collect();
            begin + &rest + &steps
        });
        bench.check_priors("context", (&full, &without), 4);
    }
}

#[test]
fn without_its_image() {
    for arch in [Arch::Llama, Arch::Qwen2Vl] {
        let bench = Bench { table: IMAGE, ..Bench::of(arch) };
        let [full, without] = [false, true].map(|without| {
            let mut f = Feed::new(arch, without);
            [f.text("tail 3", 1, 6), f.image(1, 5), f.text("tail 1", 2, 4), f.steps(3, 5)].concat()
        });
        bench.check_priors("image", (&full, &without), 3);
    }
}

/// Sequences with and without a context in one batch; what no context precedes keeps every bit, and the counters say how often
/// there was a prior.
#[test]
fn a_row_has_its_own_prior() {
    let mut bench = Bench::new();
    bench.decode.sequences = 3;
    let prompts = [
        Prompt::default().and(1, 6).context(2, 9).and(3, 8),
        Prompt::default().and(4, 9),
        Prompt::default().and(5, 3).context(6, 4).and(7, 5),
    ];
    let script = |without: bool| {
        let groups = |last: bool| {
            let part = |(seq, p): (usize, &Prompt)| {
                let n = p.len();
                p.group(seq, if last { n - 1..n } else { 0..n - 1 }, without)
            };
            prompts.iter().enumerate().map(part).collect::<Vec<_>>().join(" ")
        };
        format!("fill {}\nfeed {}\n", groups(false), groups(true))
    };
    let (plain, other) = (bench.plain(&script(false)), bench.plain(&script(true)));
    let keys = labels("context", "at = \"any\"\nmin-label-mass = 0");
    let (log, got) = bench.calibrated(&format!("{}stats all\n", script(false)), "alpha = 0", &keys);
    for row in [0, 2] {
        let [full, without] = [&plain, &other].map(|run| values(&run.rows[row].logits));
        let wanted = expected(&full, &without, (0.0, false, 0.0)).expect("labels");
        let gap = values(&got.rows[row].logits).iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(gap < EXACT && got.rows[row] != plain.rows[row], "{gap:e}\n{log}");
    }
    assert_eq!(got.rows[1], plain.rows[1], "no context");
    let line = log.lines().find_map(|line| line.strip_prefix("host: ek_stats_json: ")).expect("counters");
    let stats: Value = serde_json::from_str(line).expect("JSON");
    let rule = &stats["contexts"][0]["rules"][0];
    assert_eq!(rule["prior"], serde_json::json!({ "rows": 3, "known": 2 }), "{stats:#}");
}

/// With `alpha = 0` and labels at the first generated token only, the second context evaluates prompts, and no token after them.
#[test]
fn only_what_the_prior_needs_is_evaluated() {
    let bench = Bench::new();
    let prompt = prompt();
    let script = format!("{}stats all\n", prompt.script(0, 5, false));
    let (log, got) = bench.calibrated(&script, "alpha = 0", &labels("context", "min-label-mass = 0"));
    let plain = bench.plain(&prompt.script(0, 5, false));
    assert_ne!(got.rows[0], plain.rows[0], "the first is calibrated");
    assert_eq!(got.rows[1..], plain.rows[1..], "the others are not");
    let line = log.lines().find_map(|line| line.strip_prefix("host: ek_stats_json: ")).expect("counters");
    let stats: Value = serde_json::from_str(line).expect("JSON");
    let prompt_without = prompt.len() - 4 - 11;
    assert_eq!(stats["contexts"][0]["contrast"]["tokens"], serde_json::json!(prompt_without), "{stats:#}");
}

/// Requests of a server one after the other, of which later ones begin like earlier ones: each is divided by what the plain server
/// says to it without its context.
#[test]
fn a_server_gives_each_request_its_own_prior() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let profile =
        Profile::empty().with(&format!("{CONTRAST}alpha = 0\n")).then(&labels("context", "min-label-mass = 0"));
    let setting = Door::Preload.setting().and(&scratch.profile(&profile));
    let plain = Server::start(ServerKind::Xllamacpp, &arguments, &Setting::new());
    let server = Server::start(ServerKind::Xllamacpp, &arguments, &setting);
    let tokens = |prompt: &Prompt, without: bool| -> Vec<u32> {
        prompt.0.iter().filter(|(_, inside)| !(without && *inside)).map(|(token, _)| *token as u32).collect()
    };
    let first = Prompt::default().and(1, 9).context(2, 12).and(3, 10);
    let other = Prompt(first.0[..9].to_vec()).context(4, 5).and(3, 10);
    let two = first.clone().context(5, 3).and(6, 4);
    let mut priors = vec![];
    for prompt in [&first, &first.clone().and(7, 3), &other, &two, &first] {
        let [full, without] = [false, true].map(|without| raw(&plain, &tokens(prompt, without)));
        let wanted = expected(&full, &without, (0.0, false, 0.0)).expect("labels");
        let gap = |other: &[f64]| wanted.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let (near, far) = (gap(&raw(&server, &tokens(prompt, false))), gap(&full));
        assert!(near < 1e-3 && far > 1e-2, "{near:e} of {far:e}\n{}", server.log());
        priors.push(shares(&without).1);
    }
    assert!((priors[0][0] - priors[1][0]).abs() > 1e-4, "they have priors of their own: {priors:?}");
    let none = tokens(&Prompt::default().and(8, 20), false);
    let gap = raw(&plain, &none).iter().zip(raw(&server, &none)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(gap < 1e-6, "without a context: {gap:e}");
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}
