//! `audit`: biases of a model before and after, what became of everything else, and how sure that is.
//!
//! Each arm (the plain model, an instruction, profiles, random directions in a profile's place) answers the same items
//! through the same stock llama.cpp. What was measured is on disk after each part; an audit that was interrupted goes on.

mod arm;
mod neutral;
mod record;
mod report;
mod score;
mod show;

use std::path::Path;

use evenkeel_ffi::host::Plugin;
use sha2::{Digest, Sha256};

pub use report::Report;

use self::{
    arm::{Arm, Way},
    neutral::Neutral,
    record::Record,
    report::ArmSaid,
    score::{Form, Prepared, score},
};
use crate::{
    args,
    estimate::Clusters,
    examples::{Kind, Origin},
    failure::{Failure, Outcome, Verdict},
    screen,
    session::{self, Session},
    suite::{self, Item, Role, Score, Suite},
};

/// Items that are measured between two writes to the disk.
const PART: usize = 256;
/// The longest text, unless more is asked for.
const CONTEXT: usize = 8192;
/// Prompts that stand for neutral text where none is given.
const PROMPTS: usize = 64;

pub fn main(args: &args::Audit, json: bool) -> Outcome {
    session::start_clean(&args.host)?;
    let mut suites = Vec::new();
    for named in &args.suite {
        suites.extend(suite::read(named)?);
    }
    suites.iter_mut().for_each(|s| limit(s, args.limit));
    let given = args.neutral.as_deref().map(super::lines).transpose()?;
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::usage(format!("--out {}: {e}", args.out.display())))?;
    let folder = tempfile::tempdir().map_err(Failure::new)?;
    let arms = arms(args, folder.path())?;
    let session = Session::open(&args.host, &args.model)?;
    let longest = longest(&session, args.context)?;
    let model_sha256 = super::file_sha256(&args.model)?;
    let mut record = Record::open(&args.out.join("results.jsonl"), args.fresh)?;
    let mut notes = Vec::new();
    if record.broken > 0 {
        notes.push(format!("{} lines of an earlier run could not be read, and were measured again", record.broken));
    }

    // What the model cannot read in one piece is left out for all arms.
    let forms: Vec<Form> = arms.iter().map(|a| form(a, args.chat)).collect();
    for suite in &mut suites {
        leave_out_long(&session, suite, &forms, longest)?;
    }
    let texts = given.unwrap_or_else(|| prompts(&suites));
    let mut neutral = Neutral::new(&session, &texts, longest)?;
    let mut plugin = None;
    let (mut scores, mut costs) = (Vec::new(), Vec::new());
    let total: usize = suites.iter().map(|s| s.items.len()).sum::<usize>() * arms.len();
    let bar = screen::progress(total as u64, "auditing");
    let all = Run { session: &session, suites: &suites, model_sha256: &model_sha256, bar: &bar };
    for (arm, form) in arms.iter().zip(&forms) {
        bar.set_message(arm.name.chars().take(24).collect::<String>());
        // Loaded at the first profile: what comes before is what the program would be without it.
        if let Some(path) = arm.path() {
            let plugin = match &plugin {
                Some(plugin) => plugin,
                None => plugin.insert(session.plugin()?),
            };
            plugin.load_profile(Some(path))?;
        }
        let acting = plugin.as_ref().filter(|_| arm.path().is_some());
        let named = |f: Failure| Failure::new(format!("{}: {f}", arm.name));
        let done = all.arm(acting, arm, form, &mut record);
        let cost = match arm.way {
            Way::Instruction(_) => None,
            _ => Some(neutral.measure(&session, acting, &arm.name)),
        };
        if let Some(plugin) = &plugin {
            plugin.load_profile(None)?;
        }
        scores.push(done.map_err(named)?);
        costs.extend(cost.transpose().map_err(named)?);
    }
    bar.finish_and_clear();

    let report = Report {
        model: session.model.description(),
        model_sha256,
        evenkeel: env!("CARGO_PKG_VERSION").into(),
        llama: session.llama.path().display().to_string(),
        margin: args.margin,
        arms: arms.iter().map(said).collect(),
        suites: report::suites(&suites, &arms, &scores, args.margin),
        costs,
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
    Ok(Verdict::Good)
}

/// What is compared, the plain model first.
fn arms(args: &args::Audit, folder: &Path) -> Result<Vec<Arm>, Failure> {
    let mut arms = vec![Arm::plain()];
    arms.extend(args.instruction.as_deref().map(Arm::instruction));
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
    session: &'a Session,
    suites: &'a [Suite],
    model_sha256: &'a str,
    bar: &'a indicatif::ProgressBar,
}

impl Run<'_> {
    /// All suites under the arm whose profile is in force.
    fn arm(
        &self,
        plugin: Option<&Plugin>,
        arm: &Arm,
        form: &Form,
        record: &mut Record,
    ) -> Result<Vec<Vec<Score>>, Failure> {
        let (session, model) = (self.session, self.model_sha256);
        let mut all = Vec::new();
        for suite in self.suites {
            let run = key(&[model, &arm.sha256, &suite.sha256, &suite.name, if form.chat { "chat" } else { "plain" }]);
            let missing: Vec<&Item> = suite.items.iter().filter(|i| record.get(&run, &i.id).is_none()).collect();
            self.bar.inc((suite.items.len() - missing.len()) as u64);
            for part in missing.chunks(PART) {
                let prepared: Vec<Prepared> =
                    part.iter().map(|i| form.prepare(&session.model, i)).collect::<Result<_, _>>()?;
                let scores = score(session, plugin, part, &prepared)?;
                record.add(&run, part.iter().map(|i| i.id.clone()).zip(scores).collect())?;
                self.bar.inc(part.len() as u64);
            }
            let found = suite.items.iter().map(|i| record.get(&run, &i.id).cloned());
            let found: Option<Vec<Score>> = found.collect();
            all.push(found.ok_or_else(|| Failure::new(format!("{}: a score was lost", suite.name)))?);
        }
        Ok(all)
    }
}

fn key(parts: &[&str]) -> String {
    let hash = Sha256::digest(parts.join("\n").as_bytes());
    hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn said(arm: &Arm) -> ArmSaid {
    let text = match &arm.way {
        Way::Instruction(text) => Some(text.clone()),
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

fn leave_out_long(session: &Session, suite: &mut Suite, forms: &[Form], longest: usize) -> Result<(), Failure> {
    let mut fits = Vec::new();
    for (i, item) in suite.items.iter().enumerate() {
        let mut most = 0;
        for form in forms.iter().filter(|f| f.instruction.is_some()).chain(forms.first()) {
            most = most.max(form.prepare(&session.model, item)?.longest);
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
    if suite.items.is_empty() {
        return Err(Failure::usage(format!("{}: every item is longer than {longest} tokens", suite.name))
            .todo("raise --context, if the model was trained on longer ones"));
    }
    Ok(())
}

/// Some prompts, in place of neutral texts.
fn prompts(suites: &[Suite]) -> Vec<String> {
    let all: Vec<&String> = suites.iter().flat_map(|s| &s.items).map(|i| &i.prompt).filter(|p| !p.is_empty()).collect();
    let n = all.len().min(PROMPTS);
    (0..n).map(|i| all[i * all.len() / n].clone()).collect()
}
