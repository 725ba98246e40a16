//! `audit`: biases of a model before and after, what became of everything else, and how sure that is.
//!
//! Each arm (the plain model, an instruction, profiles, random directions in a profile's place) answers the same items
//! through the same stock llama.cpp. What was measured is on disk after each part; an audit that was interrupted goes on.

mod arm;
mod cyclic;
mod detail;
mod local;
mod neutral;
mod record;
mod refused;
mod remote;
mod report;
mod representation;
mod respond;
mod score;
mod show;

use std::path::Path;

use sha2::{Digest, Sha256};

pub use detail::Example;
pub use report::{Report, SuiteSaid};
pub use representation::{Measured, RepresentationSaid};

use self::{
    arm::{Arm, Kind as ArmKind, Way},
    local::Local,
    neutral::Cost,
    record::Record,
    remote::Remote,
    report::ArmSaid,
    respond::{Respondent, Scored},
    score::Form,
};
use crate::{
    args,
    estimate::Clusters,
    examples::{Kind, Origin},
    failure::{Failure, Outcome, Verdict},
    neutral::Plain,
    screen,
    session::{self, Session},
    suite::{self, Item, Role, Score, Suite},
};

/// The longest text, unless more is asked for.
const CONTEXT: usize = 8192;
/// Prompts that stand for neutral text where none is given.
const PROMPTS: usize = 64;
/// Tokens that examples are continued by.
const CONTINUED: usize = 32;

pub fn main(args: &args::Audit, json: bool) -> Outcome {
    session::start_clean(&args.host)?;
    let mut suites = Vec::new();
    for named in &args.suite {
        suites.extend(suite::read(named)?);
    }
    suites.iter_mut().for_each(|s| limit(s, args.limit));
    let inside = args.representation.iter().map(representation::read).collect::<Result<Vec<_>, Failure>>()?;
    let given = args.neutral.as_deref().map(crate::neutral::read).transpose()?;
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::usage(format!("--out {}: {e}", args.out.display())))?;
    let folder = tempfile::tempdir().map_err(Failure::new)?;
    let mut arms = arms(args, folder.path())?;
    let forms: Vec<Form> = arms.iter().map(|a| form(a, args.chat)).collect();
    let mut record = Record::open(&args.out.join("results.jsonl"), args.fresh)?;
    let mut notes = Vec::new();
    if record.broken > 0 {
        notes.push(format!("{} lines of an earlier run could not be read, and were measured again", record.broken));
    }

    let mut local = None;
    let mut remote = None;
    let texts = |suites: &[Suite]| match &given {
        Some(given) => given.clone(),
        None if suites.is_empty() => representation::some_texts(&inside, PROMPTS),
        None => prompts(suites),
    };
    let respondent: &mut dyn Respondent = match (&args.endpoint, &args.model) {
        (Some(url), _) => {
            let server = Remote::connect(url, args)?;
            remote.insert(server.neutral(&texts(&suites)))
        }
        (None, Some(model)) => {
            let session = Session::open(&args.host, model)?;
            let longest = longest(&session, args.context)?;
            let own = local.insert(Local::new(session, crate::hash::file_sha256(model)?)?);
            // What the model cannot read in one piece is left out for all arms.
            for suite in &mut suites {
                leave_out_long(own, suite, &forms, longest)?;
            }
            own.neutral(&texts(&suites), longest)?;
            own
        }
        (None, None) => return Err(Failure::usage("neither --model nor --endpoint is given")),
    };
    let unusable: Vec<String> = suites.iter().filter(|s| s.items.is_empty()).map(|s| s.name.clone()).collect();
    if unusable.len() == suites.len() && inside.is_empty() {
        let said: Vec<String> = suites.iter().flat_map(none_of).collect();
        return Err(Failure::usage("no suite has a usable item").todo(said.join("\n  ")));
    }
    if !unusable.is_empty() {
        let (n, all) = (unusable.len(), suites.len());
        notes.push(format!("{n} of {all} suites have no usable item: {}", unusable.join(", ")));
    }
    let examples = some_prompts(&suites, args.examples as usize);
    let mut found = Found::default();
    let total: usize = suites.iter().map(|s| s.items.len()).sum::<usize>() * arms.len();
    let bar = screen::progress(total as u64, "auditing");
    let (model, identity, by) = (respondent.model(), respondent.identity(), respondent.by());
    let all = Run { suites: &suites, identity: &identity, bar: &bar };
    for (arm, form) in arms.iter().zip(&forms) {
        bar.set_message(arm.name.chars().take(24).collect::<String>());
        respondent.take_on(arm)?;
        let done = all.arm(respondent, arm, form, &mut record, &examples, &mut found);
        respondent.put_off()?;
        done.map_err(|f| f.within(&arm.name))?;
    }
    bar.finish_and_clear();
    notes.extend(respondent.notes());
    if let Some(cyclic) = cyclic::scores(&suites, &found.scores[0]) {
        let plain = found.costs.first().map(|c| cyclic::cost(c, &suites));
        arms.push(Arm::cyclic());
        found.scores.push(cyclic);
        found.costs.extend(plain);
    }
    let inside = match &mut local {
        Some(local) => representation::measure(local, &arms, &inside, longest(local.session(), args.context)?)?,
        None => Vec::new(),
    };

    let report = Report {
        model,
        model_sha256: identity,
        evenkeel: env!("CARGO_PKG_VERSION").into(),
        llama: by,
        margin: args.margin,
        arms: arms.iter().map(said).collect(),
        suites: report::suites(&suites, &arms, &found.scores, args.margin),
        representation: inside,
        costs: found.costs,
        examples: found.examples,
        notes,
    };
    let text = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
    let files = super::report::write(&args.out, "audit", &text)?;
    if json {
        screen::json(&report);
    } else {
        show::show(&report);
        println!("\nWritten:");
        files.iter().for_each(|f| println!("  {}", f.display()));
    }
    Ok(if unusable.is_empty() { Verdict::Good } else { Verdict::Bad })
}

/// A suite without items, and why.
fn none_of(suite: &Suite) -> Vec<String> {
    std::iter::once(format!("{}: no usable item", suite.name)).chain(suite.problems.lines()).collect()
}

/// What was measured so far.
#[derive(Default)]
struct Found {
    /// Of each arm, for each suite.
    scores: Vec<Vec<Vec<Score>>>,
    costs: Vec<Cost>,
    examples: Vec<Example>,
}

/// What is compared, the plain model first.
fn arms(args: &args::Audit, folder: &Path) -> Result<Vec<Arm>, Failure> {
    let mut arms = vec![Arm::plain()];
    arms.extend(args.instruction.iter().enumerate().map(|(i, text)| Arm::instruction(text, i)));
    for name in &args.choose {
        if arms.iter().any(|a| a.name == *name) {
            return Err(Failure::usage(format!("--choose {name}: an arm of this name is there")));
        }
        arms.push(Arm::chosen(name));
    }
    for path in &args.profile {
        let path = session::profile_path(path)?;
        let arm = Arm::profile(&path)?;
        if arms.iter().any(|a| a.name == arm.name) {
            return Err(Failure::usage(format!("two profiles are called `{}`", arm.name))
                .todo("give each its own `name`, so that the report can tell them apart"));
        }
        let mut random = Vec::new();
        for number in 0..u64::from(args.random) {
            random.extend(Arm::random(&arm, number, folder)?);
        }
        arms.push(arm);
        arms.extend(random);
    }
    Ok(arms)
}

fn form(arm: &Arm, chat: bool) -> Form {
    let instruction = match &arm.way {
        Way::Instruction(text) => Some(text.clone()),
        _ => None,
    };
    Form { chat, instruction }
}

/// What all arms have in common.
struct Run<'a> {
    suites: &'a [Suite],
    identity: &'a str,
    bar: &'a indicatif::ProgressBar,
}

impl Run<'_> {
    /// Everything under the arm that is in force.
    fn arm(
        &self,
        respondent: &mut dyn Respondent,
        arm: &Arm,
        form: &Form,
        record: &mut Record,
        examples: &[String],
        found: &mut Found,
    ) -> Result<(), Failure> {
        let all = self.suites.iter().map(|suite| self.suite(respondent, arm, form, record, suite));
        let all = all.collect::<Result<Vec<_>, Failure>>()?;
        found.scores.push(all);
        if !matches!(arm.way, Way::Instruction(_)) {
            let mut cost = respondent.cost(form, &arm.name)?;
            // As many tokens again for every control would tell nothing about the profile.
            if let Some(cost) = cost.as_mut().filter(|_| arm.kind() != ArmKind::Random) {
                cost.refused = Some(refused::ask(respondent, form)?);
            }
            found.costs.extend(cost);
        }
        if !examples.is_empty() && arm.kind() != ArmKind::Random {
            let texts = respondent.go_on(form, examples, CONTINUED)?;
            found.examples.resize_with(examples.len(), Example::default);
            for ((example, prompt), text) in found.examples.iter_mut().zip(examples).zip(texts) {
                example.prompt.clone_from(prompt);
                example.texts.push((arm.name.clone(), text));
            }
        }
        Ok(())
    }

    fn suite(
        &self,
        respondent: &mut dyn Respondent,
        arm: &Arm,
        form: &Form,
        record: &mut Record,
        suite: &Suite,
    ) -> Result<Vec<Score>, Failure> {
        let given: Vec<Score> =
            suite.items.iter().filter_map(|i| Some(Score::written(i.given()?.to_owned()))).collect();
        if !given.is_empty() {
            self.bar.inc(suite.items.len() as u64);
            // No arm has written them.
            return Ok(if arm.kind() == ArmKind::Plain { given } else { Vec::new() });
        }
        let chat = if form.chat { "chat" } else { "plain" };
        let run = key(&[self.identity, &arm.sha256, &suite.sha256, &suite.name, chat]);
        let missing: Vec<&Item> = suite.items.iter().filter(|i| record.get(&run, &i.id).is_none()).collect();
        self.bar.inc((suite.items.len() - missing.len()) as u64);
        for part in missing.chunks(respondent.part()) {
            let Scored { scores, failure } = respondent.score(form, part);
            let done = part.iter().zip(scores).filter_map(|(i, s)| Some((i.id.clone(), s?)));
            let done: Vec<(String, Score)> = done.collect();
            self.bar.inc(done.len() as u64);
            record.add(&run, done)?;
            if let Some(failure) = failure {
                let have = suite.items.iter().filter(|i| record.get(&run, &i.id).is_some()).count();
                let kept = format!("{}: {have} of {} answers are kept", suite.name, suite.items.len());
                return Err(failure.todo(format!("{kept}; the same command goes on there")));
            }
        }
        let found = suite.items.iter().map(|i| record.get(&run, &i.id).cloned());
        let found: Option<Vec<Score>> = found.collect();
        found.ok_or_else(|| Failure::new(format!("{}: a score was lost", suite.name)))
    }
}

fn key(parts: &[&str]) -> String {
    let hash = Sha256::digest(parts.join("\n").as_bytes());
    hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn said(arm: &Arm) -> ArmSaid {
    let text = match &arm.way {
        Way::Instruction(text) => Some(text.clone()),
        Way::Chosen(name) => Some(format!("the server's profile `{name}`")),
        Way::Profile(path) => std::fs::read_to_string(path).ok(),
        _ => None,
    };
    ArmSaid { name: arm.name.clone(), kind: arm.kind(), sha256: arm.sha256.clone(), text }
}

/// Keeps at most so many items, whole clusters, evenly taken.
fn limit(suite: &mut Suite, most: Option<u32>) {
    let Some(most) = most.map(|m| m as usize).filter(|m| *m < suite.items.len()) else { return };
    let n = Clusters::new(suite.items.iter().map(|i| i.cluster.as_str())).len();
    let wanted = (n * most).div_ceil(suite.items.len()).max(1);
    let mut order: Vec<String> = Vec::new();
    for item in &suite.items {
        if !order.contains(&item.cluster) {
            order.push(item.cluster.clone());
        }
    }
    let keep: std::collections::HashSet<&String> = (0..wanted).map(|i| &order[i * n / wanted]).collect();
    suite.items.retain(|i| keep.contains(&i.cluster));
}

fn longest(session: &Session, asked: Option<u32>) -> Result<usize, Failure> {
    let arch = session.model.metadata("general.architecture").unwrap_or_default();
    let trained = session.model.metadata(&format!("{arch}.context_length")).and_then(|n| n.parse::<usize>().ok());
    Ok(asked.map_or(CONTEXT, |n| n as usize).min(trained.unwrap_or(usize::MAX)))
}

fn leave_out_long(local: &Local, suite: &mut Suite, forms: &[Form], longest: usize) -> Result<(), Failure> {
    let mut fits = Vec::new();
    for (i, item) in suite.items.iter().enumerate() {
        let mut most = 0;
        if item.given().is_some() {
            fits.push(true);
            continue;
        }
        for form in forms.iter().filter(|f| f.instruction.is_some()).chain(forms.first()) {
            most = most.max(local.length(form, item)?.unwrap_or(0));
        }
        if most > longest {
            let origin = Origin { file: suite.name.clone().into(), line: i + 1 };
            suite.problems.add(Kind::TooLong, &origin, format!("{}: {most} tokens, at most {longest}", item.id));
        }
        fits.push(most <= longest);
    }
    // Of what is asked in several orders or at several places, all or nothing.
    let whole = |i: &Item| matches!(i.role, Role::Letters { .. } | Role::Place { .. });
    let long = suite.items.iter().zip(&fits).filter(|(i, fits)| whole(i) && !**fits).map(|(i, _)| i.cluster.clone());
    let long: std::collections::HashSet<String> = long.collect();
    let mut fits = suite
        .items
        .iter()
        .zip(fits)
        .map(|(i, fits)| fits && !long.contains(&i.cluster))
        .collect::<Vec<_>>()
        .into_iter();
    suite.items.retain(|_| fits.next().unwrap_or(false));
    Ok(())
}

/// Some prompts, in place of neutral texts.
fn prompts(suites: &[Suite]) -> Vec<Plain> {
    some_prompts(suites, PROMPTS).iter().map(|p| Plain::of(p)).collect()
}

fn some_prompts(suites: &[Suite], most: usize) -> Vec<String> {
    let all: Vec<&String> = suites.iter().flat_map(|s| &s.items).map(|i| &i.prompt).filter(|p| !p.is_empty()).collect();
    let n = all.len().min(most);
    (0..n).map(|i| all[i * all.len() / n].clone()).collect()
}
