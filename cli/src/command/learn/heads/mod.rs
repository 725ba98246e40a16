//! `learn heads`: which attention heads push a model to one of two answers, by what happens when each is switched off, and a
//! profile that scales the ones that matter. Switching heads off by their measured effect is common practice (Michel et al.
//! 2019, arXiv 1905.10650); that some heads of vision-language models say "no" by themselves was the occasion.
//!
//! Three parts of the questions, which share no group: heads are scored on the first, how many and by what scale is chosen on
//! the second, what is reported is measured on the third. Random orders of heads go through the same choice.

mod choose;
mod figure;
mod report;

use evenkeel_core::vocabulary::Vocabulary;
use evenkeel_model::Random;
use sha2::{Digest, Sha256};

use self::{
    choose::{Bench, Set},
    figure::figures,
    report::{Control, Report, Scored},
};
use super::longest;
use crate::{
    args,
    command::calibrate::{Example, Said, plain, questions, read, tokens as label_tokens},
    command::check,
    examples::stem,
    failure::{Failure, Outcome, Verdict},
    screen,
    session::{self, Session},
};

/// Questions that each head is scored on, and each set is chosen on, at most.
const MOST: [usize; 3] = [64, 96, usize::MAX];

pub fn main(args: &args::LearnHeads, as_json: bool) -> Outcome {
    session::start_clean(&args.host)?;
    let [_, _] = &args.labels[..] else {
        return Err(Failure::usage(format!("--labels: got {}, allowed: two answers", args.labels.join(", "))));
    };
    let pushed =
        match &args.pushes {
            None => 1,
            Some(label) => args.labels.iter().position(|l| l == label).ok_or_else(|| {
                Failure::usage(format!("--pushes: got {label:?}, allowed: {}", args.labels.join(" or ")))
            })?,
        };
    let facts = check::facts(&args.model)?;
    let n_head = facts.n_head.ok_or_else(|| {
        Failure::usage("this model does not say how many heads its layers have, or they differ between layers")
    })?;
    let (examples, data_sha256) = read(&args.data, &args.labels)?;
    let parts = thirds(examples)?;
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::usage(format!("--out {}: {e}", args.out.display())))?;
    let session = Session::open(&args.host, &args.model)?;
    let longest = longest(&session, args.context)?;
    let vocabulary = Vocabulary::new((0..session.model.n_vocab() as i32).map(|t| session.model.piece(t)));
    let tokens = label_tokens(&args.labels, &vocabulary)?;
    let asked: Vec<_> =
        parts.iter().map(|part| questions(&session, part, (args.chat, longest))).collect::<Result<_, _>>()?;
    // Everything plain is asked before the plug-in is there.
    let before: Vec<_> = parts
        .iter()
        .zip(&asked)
        .map(|(part, asked)| plain(&session, asked, Said::new(part, &args.labels, &tokens)))
        .collect::<Result<_, _>>()?;
    let plugin = session.plugin()?;
    let folder = tempfile::tempdir().map_err(Failure::new)?;
    let bench = Bench {
        session: &session,
        plugin: &plugin,
        folder: folder.path(),
        labels: &args.labels,
        tokens: &tokens,
        pushed,
        parts: &parts,
        asked: &asked,
        before: &before,
        max_loss: args.max_loss,
    };

    let all: Vec<[u32; 2]> = (0..facts.n_layer).flat_map(|l| (0..n_head).map(move |h| [l, h])).collect();
    let bar = screen::progress(all.len() as u64, "switching heads off");
    let mut scored: Vec<Scored> = Vec::new();
    for head in &all {
        let set = Set { heads: vec![*head], scale: 0.0 };
        scored.push(Scored { head: choose::name(head), effect: bench.relief(&set, 0)? });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| scored[*b].effect.total_cmp(&scored[*a].effect));
    let pushing: Vec<[u32; 2]> = order.iter().filter(|i| scored[**i].effect > 0.0).map(|i| all[*i]).collect();

    let bar = screen::progress(u64::from(args.controls) + 1, "choosing");
    let (chosen, candidates) = bench.choose(&pushing)?;
    bar.inc(1);
    let mut effects = Vec::new();
    for number in 0..args.controls {
        let mut shuffled = all.clone();
        let mut random = Random::named(args.seed, &format!("heads {number}"));
        (1..shuffled.len()).rev().for_each(|i| shuffled.swap(i, (random.bits() % (i as u64 + 1)) as usize));
        // As many as ours are chosen from.
        shuffled.truncate(pushing.len().max(1));
        let (set, _) = bench.choose(&shuffled)?;
        effects.push(set.as_ref().map_or(Ok(0.0), |set| bench.effect(set, 2))?);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let name = args.name.clone().unwrap_or_else(|| format!("{}-heads", stem(&args.data)));
    let after = chosen.as_ref().map_or_else(|| Ok(before[2].clone()), |set| bench.under(set, 2))?;
    let effect = chosen.as_ref().map_or(Ok(0.0), |set| bench.effect(set, 2))?;
    let rank = 1 + effects.iter().filter(|e| **e >= effect).count();
    scored.sort_by(|a, b| b.effect.total_cmp(&a.effect));
    let mut report = Report {
        name: name.clone(),
        profile: None,
        model: session.model.description(),
        model_sha256: crate::hash::file_sha256(&args.model)?,
        data_sha256,
        evenkeel: env!("CARGO_PKG_VERSION").into(),
        llama: session.llama.path().display().to_string(),
        labels: args.labels.clone(),
        pushes: args.labels[pushed].clone(),
        parts: [0, 1, 2].map(|p| parts[p].len()),
        scored,
        chosen: chosen.as_ref().map(|set| set.heads.iter().map(choose::name).collect()),
        scale: chosen.as_ref().map(|set| set.scale),
        candidates,
        effect,
        figures: figures(&before[2], &after, pushed),
        control: Control { rank, of: effects.len() + 1, effects },
        notes: vec![],
    };
    report.notes = report.think();
    if let Some(set) = &chosen {
        let path = args.out.join(format!("{name}.toml"));
        std::fs::write(&path, set.profile(&name)).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        report.profile = Some(path.display().to_string());
    }
    let json = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
    let path = args.out.join(format!("{name}.json"));
    std::fs::write(&path, &json).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    if as_json {
        println!("{json}");
    } else {
        report::show(&report, &path);
    }
    Ok(if report.beats() { Verdict::Good } else { Verdict::Bad })
}

/// Three parts by groups, which do not depend on the order: 2, 1 and 2 of five. Each has both answers.
fn thirds(examples: Vec<Example>) -> Result<[Vec<Example>; 3], Failure> {
    if examples.iter().any(|e| e.answer.is_none()) {
        return Err(Failure::usage("heads are judged by answers, and some examples have none"));
    }
    let mut parts = [vec![], vec![], vec![]];
    for example in examples {
        let place = [0, 0, 1, 2, 2][usize::from(Sha256::digest(example.cluster().as_bytes())[0]) % 5];
        parts[place].push(example);
    }
    for (part, most) in parts.iter_mut().zip(MOST) {
        let n = part.len();
        if n > most {
            *part = (0..most).map(|i| part[i * n / most].clone()).collect();
        }
        let answers = part.iter().filter(|e| e.answer == part[0].answer).count();
        if part.is_empty() || answers == part.len() {
            let what = "one answer is missing in one of the parts to score, choose and report on";
            return Err(Failure::usage(what).todo("give more examples, with both answers, in more groups"));
        }
    }
    Ok(parts)
}
