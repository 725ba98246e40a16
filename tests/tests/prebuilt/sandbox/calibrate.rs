//! `evenkeel calibrate` on the sandbox: what each method does to the planted habit of saying "no", to the liking for "A" and
//! to ratings that shrink, through the plug-in; and where a calibration does harm. `--nocapture` shows the figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::{Door, Scratch, library, tool};
use serde_json::{Value, json};

use super::Report;
use super::effects::EFFECTS;
use super::items::{Item, sandbox};
use super::lab::{Asked, ask, llama, model, plain, under};
use super::stats::{Interval, share};

const YES_NO: &str = "yes,no";
const LETTERS: &str = "A,B,C,D";
const STARS: &str = "1,2,3,4,5";

/// What one run of `evenkeel calibrate` found.
struct Found {
    what: String,
    json: Value,
}

impl Found {
    /// A figure: before, after, change.
    fn figure(&self, name: &str) -> [Interval; 3] {
        let all = self.json["figures"].as_array().expect("figures");
        let found = all.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("no {name}: {all:?}"));
        let number = |value: &Value| value.as_f64().expect("a number");
        ["before", "after", "change"].map(|key| {
            let i = &found[key];
            Interval { value: number(&i["value"]), low: number(&i["low"]), high: number(&i["high"]) }
        })
    }

    fn say(&self, report: &mut Report, names: &[&str]) {
        report.say(self.what.clone());
        for name in names {
            let [before, after, change] = self.figure(name);
            report.say(format!("  {name}: {before}, then {after}; change {change}"));
        }
    }
}

fn labels(name: &str) -> PathBuf {
    sandbox(&format!("labels/{name}.jsonl"))
}

fn calibrate(
    scratch: &Scratch,
    variant: &str,
    answers: &str,
    method: &[&str],
    fit: &Path,
    test: Option<&Path>,
) -> Found {
    let mut command = Command::new(tool());
    let what = format!("{} on {variant}, fitted on {}", method.join(" "), fit.file_stem().unwrap().to_string_lossy());
    command.args(["--json", "calibrate", "--labels", answers, "--method"]).args(method);
    command.arg("--model").arg(sandbox(&format!("models/{variant}-f16.gguf"))).arg("--out").arg(scratch.folder());
    command.arg("--examples").arg(fit).args(test.iter().flat_map(|test| ["--test".as_ref(), test.as_os_str()]));
    command.arg("--llama").arg(llama().path()).arg("--plugin").arg(library());
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{what}: {e}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    Found { what, json }
}

const SHOWN: [&str; 4] = ["accuracy", "expected calibration error", "Brier score", "says \"yes\""];

#[test]
fn a_habit_of_saying_no_is_divided_out() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let (asked, empty) = (labels("yes-no"), labels("yes-no-empty"));
    for (method, fit, test) in [
        (&["contextual"][..], &empty, Some(&*asked)),
        (&["contextual", "--zhao"], &empty, Some(&asked)),
        (&["batch"], &asked, None),
        (&["affine"], &asked, None),
    ] {
        let found = calibrate(&scratch, "first", YES_NO, method, fit, test);
        found.say(&mut report, &SHOWN);
        let [before, after, change] = found.figure("accuracy");
        let holds = before.high < 0.65 && after.low > 0.8 && change.low > 0.2;
        report.expect(holds, || format!("{}: accuracy {before}, then {after}", found.what));
        let [before, after, _] = found.figure("says \"yes\"");
        let holds = before.high < 0.1 && (0.4..0.66).contains(&after.value);
        report.expect(holds, || format!("{}: yes {before}, then {after}", found.what));
        let [_, _, brier] = found.figure("Brier score");
        report.expect(brier.high < 0.0, || format!("{}: Brier score {brier}", found.what));
    }
    // A temperature orders labels as they were: it is surer or less sure, and says "no" as before.
    let found = calibrate(&scratch, "first", YES_NO, &["temperature"], &asked, None);
    found.say(&mut report, &SHOWN);
    for name in ["accuracy", "says \"yes\""] {
        let [_, _, change] = found.figure(name);
        report.expect([change.low, change.value, change.high] == [0.0; 3], || format!("temperature: {name} {change}"));
    }
    report.end();
}

/// The failures: each is known, and here it is.
#[test]
fn where_a_calibration_does_harm() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let (asked, empty) = (labels("yes-no"), labels("yes-no-empty"));
    let text = fs::read_to_string(&asked).expect("questions");
    let right = |line: &&str| line.contains("\"answer\": \"no\"");
    let one_sided = scratch.path("only-no.jsonl");
    fs::write(&one_sided, text.lines().filter(right).collect::<Vec<_>>().join("\n")).expect("a file");
    let mut harm = |variant: &str, method: &str, fit: &Path, change: std::ops::RangeInclusive<f64>, why: &str| {
        let found = calibrate(&scratch, variant, YES_NO, &[method], fit, Some(&asked));
        report.say(why.to_owned());
        found.say(&mut report, &SHOWN);
        let [_, _, accuracy] = found.figure("accuracy");
        report.expect(change.contains(&accuracy.value), || format!("{why}: accuracy {accuracy}, not in {change:?}"));
        (found, accuracy)
    };
    let (_, accuracy) =
        harm("twin", "contextual", &empty, -0.03..=0.0, "a prior, where there is no habit: a little worse");
    assert!(accuracy.low > -0.05, "{accuracy}");
    let (_, accuracy) = harm("twin", "batch", &one_sided, -1.0..=-0.1, "a stream of one answer, taken for a habit");
    assert!(accuracy.high < 0.0, "{accuracy}");
    let elsewhere = labels("letters-empty");
    let (found, _) = harm("first", "contextual", &elsewhere, -0.05..=0.1, "a prior of another format: hardly any gain");
    let notes = found.json["notes"].to_string();
    assert!(notes.contains("labels have less than half of the probability"), "{notes}");
    report.end();
}

#[test]
fn a_liking_for_a_letter_is_divided_out() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let (asked, empty) = (labels("letters"), labels("letters-empty"));
    let shown = ["accuracy", "Brier score", "says \"A\"", "says \"D\""];
    let first = calibrate(&scratch, "first", LETTERS, &["contextual"], &empty, Some(&asked));
    first.say(&mut report, &shown);
    let [before, after, change] = first.figure("accuracy");
    let holds = before.high < 0.92 && after.low > 0.95 && change.low > 0.05;
    report.expect(holds, || format!("accuracy {before}, then {after}"));
    let [before, after, _] = first.figure("says \"A\"");
    report.expect(before.low > 0.3 && after.high < 0.34, || format!("A {before}, then {after}"));
    let twin = calibrate(&scratch, "twin", LETTERS, &["contextual"], &empty, Some(&asked));
    twin.say(&mut report, &shown);
    let [_, _, change] = twin.figure("accuracy");
    report.expect(change.value.abs() <= 0.02, || format!("twin: accuracy {change}"));
    report.end();
}

#[test]
fn ratings_that_shrink_are_stretched() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let shown = ["slope of the mean rating", "error of the mean rating", "accuracy", "Brier score"];
    let mut run = |method: &str| {
        let found = calibrate(&scratch, "first", STARS, &[method], &labels("rating"), None);
        found.say(&mut report, &shown);
        (found.figure(shown[0]), found.figure(shown[1]))
    };
    let (linear, tweedie, temperature) = (run("linear"), run("tweedie"), run("temperature"));
    let ([before, after, _], [_, _, error]) = linear;
    let holds = before.high < 0.6 && after.low > 0.9 && after.high < 1.1 && error.high < 0.0;
    report.expect(holds, || format!("linear: slope {before}, then {after}; error {error}"));
    // Only as far as the density of what is said tells: it needs no more than the variance of the errors.
    let ([_, after, change], [_, _, error]) = tweedie;
    let holds = change.low > 0.1 && after.high < 1.0 && error.high < 0.0;
    report.expect(holds, || format!("tweedie: slope {after}; error {error}"));
    // It makes the model less sure, which is what the loss asks for, and ratings shrink even more.
    let ([_, _, change], [_, _, error]) = temperature;
    report.expect(change.high < 0.0 && error.low > 0.0, || format!("temperature: slope {change}; error {error}"));
    report.end();
}

/// What is shipped for the demo is what a fit gives today, and the questions are those of the generator.
#[test]
fn the_shipped_values_are_the_fitted_ones() {
    let scratch = Scratch::new();
    let asked = labels("yes-no");
    let prior = calibrate(&scratch, "first", YES_NO, &["contextual"], &labels("yes-no-empty"), Some(&asked));
    let line = calibrate(&scratch, "first", STARS, &["linear"], &labels("rating"), None);
    for (found, file, tensor) in [(&prior, "yes-no", "prior"), (&line, "rating", "line")] {
        let path = sandbox(&format!("labels/{file}.safetensors"));
        let shipped = evenkeel_core::asset::CalibrationFile::read(&path).expect("a file");
        let fitted: Vec<f64> =
            found.json["fitted"][tensor].as_array().expect("values").iter().filter_map(Value::as_f64).collect();
        let gap = fitted.iter().zip(&shipped.fitted.tensors[tensor]).map(|(a, b)| (a - f64::from(*b)).abs());
        assert!(fitted.len() == 2 && gap.fold(0.0, f64::max) < 1e-3, "{fitted:?} and {:?}", shipped.fitted);
    }
    let script = sandbox("train/write_labels.py");
    let made = Command::new("python3").arg(script).arg("--check").env("PYTHONDONTWRITEBYTECODE", "1").output();
    let made = made.unwrap_or_else(|error| panic!("python3, which this test needs: {error}"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A profile of `configs/` with the files that it names.
fn config(scratch: &Scratch, name: &str, files: &[(&Path, &str)], edit: [&str; 2]) -> PathBuf {
    let text = fs::read_to_string(sandbox("../../configs").join(name)).expect("a profile");
    assert!(edit[0].is_empty() || text.contains(edit[0]), "{name}");
    let path = scratch.path(name);
    fs::write(&path, text.replace(edit[0], edit[1])).expect("a profile");
    fs::create_dir_all(scratch.path("priors")).expect("a folder");
    for (from, to) in files {
        fs::copy(from, scratch.path("priors").join(to)).expect("a file");
    }
    path
}

#[test]
fn the_profiles_in_configs_act() {
    let scratch = Scratch::new();
    let items = |kind: &str| -> Vec<Item> {
        Item::all().into_iter().filter(|item| item.kind == kind && (kind != "yes/no" || item.x == 0.0)).collect()
    };
    let shipped = sandbox("labels/yes-no.safetensors");
    let profile = config(&scratch, "calibrate-contextual.toml", &[(&shipped, "yes-no.safetensors")], ["", ""]);
    let share = |asked: &[Asked]| {
        let all: Vec<f64> =
            asked.iter().filter(|a| a.item.kind == "yes/no").map(|a| a.p[0] / (a.p[0] + a.p[1])).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let first = model("models/first-f16.gguf");
    let (before, after) = (share(plain("first")), share(&under(&profile, || ask(&first, items("yes/no")))));
    println!("mean share of yes without evidence: {before:.3}, then {after:.3}");
    assert!(before < 0.2 && (0.35..0.6).contains(&after), "{before} {after}");
    // The first requests have no prior yet.
    for (name, least) in [("calibrate-online.toml", 0.1), ("calibrate-request.toml", 0.2)] {
        let after = share(&under(&config(&scratch, name, &[], ["", ""]), || ask(&first, items("yes/no"))));
        println!("{name}: {after:.3}");
        assert!((before + least..0.6).contains(&after), "{name}: {before} {after}");
    }

    calibrate(&scratch, "first", STARS, &["linear"], &labels("rating"), None);
    let fitted = scratch.path("rating-linear.safetensors");
    let found = [(&*fitted, "stars.safetensors")];
    // The sandbox's model knows no "Rating:", and its prompts end with a special token.
    let profile = config(&scratch, "calibrate-ratings.toml", &found, ["Rating:", "<bot>"]);
    let slope = EFFECTS.iter().find(|e| e.kind == "rating").expect("an effect");
    let figure = |asked: &[Asked]| slope.sample(asked).interval(slope.figure, 0.0).value;
    let (before, after) = (figure(plain("first")), figure(&under(&profile, || ask(&first, items("rating")))));
    println!("slope of the rating: {before:.3}, then {after:.3}");
    assert!(before < 0.6 && (0.9..1.1).contains(&after), "{before} {after}");
}

/// A prior that each request has of its own: what the model says to the same question without a document, or with other text in
/// its place. It takes most of the habit, and harms a model that has none more than a prior fitted on the format does.
#[test]
fn each_question_has_its_own_prior() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let labels = "name = \"yes-no\"\nlabels = [\"yes\", \"no\"]\nmethod = \"contextual\"\nmin-label-mass = 0";
    let table = |instead: &str| {
        let contrast = format!("[contrast]\nwithout = {{ open = \"<doc>\", close = \"</doc>\"{instead} }}\nalpha = 0");
        format!("{contrast}\n[[calibrate]]\n{labels}\nprior = \"without-context\"\n")
    };
    let ways = [
        ("as it is", String::new()),
        ("without-context", table("")),
        ("with other text instead", table(", instead = \" anna likes fish.\"")),
    ];
    for variant in ["first", "twin"] {
        let model = model(&format!("models/{variant}-f16.gguf"));
        let mut before = None;
        for (what, text) in &ways {
            let path = scratch.path("prior.toml");
            fs::write(&path, format!("schema = 1\n{text}")).expect("a profile");
            let asked = under(&path, || ask(&model, Item::labelled("yes-no", ["yes", "no"])));
            let right = |a: &&Asked| a.p[0] > a.p[1];
            let yes = asked.iter().filter(|a| right(a) == (a.item.answers[0] == " yes")).count();
            let found = share(asked.iter().filter(right).count(), asked.len());
            report.say(format!("{variant}, {what}: right {found}, says yes {yes} times of {}", asked.len()));
            let Some(first): Option<&Interval> = before.as_ref() else {
                before = Some(found);
                continue;
            };
            let holds = if variant == "twin" { found.low > 0.85 } else { found.low > first.high + 0.1 };
            report.expect(holds, || format!("{variant}, {what}: {found} after {first}"));
        }
    }
    report.end();
}

/// On a server with requests side by side: those that choose the profile get the calibrated probabilities, as `n_probs`
/// tells them, and no other request notices.
#[test]
fn clients_of_a_server_see_calibrated_probabilities() {
    let scratch = Scratch::new();
    let folder = scratch.path("profiles");
    fs::create_dir_all(&folder).expect("a folder");
    fs::copy(sandbox("labels/yes-no.safetensors"), folder.join("yes-no.safetensors")).expect("a prior");
    let usual = "schema = 1\nname = \"default\"\n[requests]\nchoose = [\"calibrated\"]\n";
    let table = "[[calibrate]]\nname = \"yes-no\"\nlabels = [\"yes\", \"no\"]\nmethod = \"contextual\"\n";
    let calibrated = format!("schema = 1\nname = \"calibrated\"\n{table}prior = \"yes-no.safetensors\"\n");
    fs::write(folder.join("default.toml"), usual).expect("a profile");
    fs::write(folder.join("calibrated.toml"), calibrated).expect("a profile");
    let setting = Door::Preload.setting().env("EVENKEEL_PROFILE", &folder);
    let arguments = Arguments::new(&sandbox("models/first-f16.gguf")).parallel(4);
    let server = Server::start(ServerKind::Xllamacpp, &arguments, &setting);
    let text = fs::read_to_string(labels("yes-no")).expect("questions");
    let prompts: Vec<String> = text
        .lines()
        .step_by(25)
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["prompt"].as_str().expect("a prompt").to_owned())
        .collect();
    let share = |prompt: &str, chosen: bool| {
        let mut body = json!({ "prompt": prompt, "n_predict": 2, "n_probs": 20, "temperature": 0.0 });
        if chosen {
            body["dry_sequence_breakers"] = json!(["evenkeel=calibrated"]);
        }
        let answer = server.post("/completion", &body).unwrap_or_else(|e| panic!("{e}\n{}", server.log()));
        let top = answer["completion_probabilities"][0]["top_logprobs"].as_array().expect("probabilities").clone();
        let p = |token: &str| {
            let found = top.iter().find(|t| t["token"] == token).unwrap_or_else(|| panic!("no {token}: {top:?}"));
            found["logprob"].as_f64().expect("a number").exp()
        };
        let (yes, no) = (p(" yes"), p(" no"));
        (yes / (yes + no), yes + no)
    };
    let share = &share;
    let both: Vec<_> = std::thread::scope(|scope| {
        let jobs: Vec<_> = prompts
            .iter()
            .map(|prompt| [false, true].map(|chosen| scope.spawn(move || share(prompt, chosen))))
            .collect();
        jobs.into_iter().map(|pair| pair.map(|job| job.join().expect("an answer"))).collect()
    });
    let prior = f64::from(
        evenkeel_core::asset::CalibrationFile::read(&sandbox("labels/yes-no.safetensors"))
            .expect("a file")
            .fitted
            .tensors["prior"][0],
    );
    for (prompt, [(plain, mass), (got, after)]) in prompts.iter().zip(&both) {
        let odds = plain / (1.0 - plain) * (1.0 - prior) / prior;
        let wanted = odds / (1.0 + odds);
        assert!((got - wanted).abs() < 0.01, "{prompt}: {plain} became {got}, not {wanted}");
        assert!((mass - after).abs() < 0.01, "{prompt}: the labels had {mass} together and have {after}");
    }
    let yes = |of: fn(&[(f64, f64); 2]) -> f64| both.iter().filter(|pair| of(pair) > 0.5).count();
    println!("{} questions: yes to {} and to {}", prompts.len(), yes(|p| p[0].0), yes(|p| p[1].0));
    assert!(yes(|p| p[0].0) + 4 < yes(|p| p[1].0), "{both:?}");
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}
