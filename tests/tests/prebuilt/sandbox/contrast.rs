//! What the model knows against what it is told: models of which a half of the documents that contradict a fact are overruled, as
//! they are and with what they say without the documents set off.

use evenkeel_tests::{Profile, Scratch};

use super::Report;
use super::effects::{EFFECTS, TASKS};
use super::items::Item;
use super::lab::{Asked, VARIANTS, ask, model, under};
use super::stats::{Figure, share};

/// The documents of a prompt.
const DOCUMENTS: &str = "{ open = \"<doc>\", close = \"</doc>\" }";

/// What a variant answers; `contrast`: set off against what, and how far.
fn answers(variant: &str, contrast: Option<(&str, f32)>, items: Vec<Item>) -> Vec<Asked> {
    let model = model(&format!("models/{variant}-f16.gguf"));
    let scratch = Scratch::new();
    let path = scratch.path("contrast.toml");
    let table = contrast.map_or_else(String::new, |(without, alpha)| {
        format!("[contrast]\nwithout = {without}\nalpha = {alpha}\nplausibility = 0.1\n")
    });
    std::fs::write(&path, Profile::empty().with(&table).text()).expect("a profile");
    under(&path, || ask(&model, items))
}

#[test]
fn what_a_document_says_counts_more_than_what_was_known() {
    let mut report = Report::default();
    let of = |kind: &str| Item::all().into_iter().filter(|i| i.kind == kind).collect::<Vec<_>>();
    let effect = EFFECTS.iter().find(|e| e.kind == "prior").expect("the planted effect");
    let right = |asked: &[Asked]| share(asked.iter().filter(|a| a.best).count(), asked.len());
    for variant in VARIANTS {
        let dose = effect.dose(variant);
        report.say(format!("{variant}, planted P(what the world says) {dose:+.2}; n=200 a figure"));
        let mut before = None;
        for alpha in [None, Some(0.5), Some(1.0)] {
            let contrast = alpha.map(|alpha| (DOCUMENTS, alpha));
            let asked = answers(variant, contrast, of("prior"));
            let prior = effect.sample(&asked).interval(Figure::Mean, 0.0);
            let (told, documents) = (right(&asked), right(&answers(variant, contrast, of("documents"))));
            let way = alpha.map_or("as it is".to_owned(), |alpha| format!("alpha {alpha}"));
            report.say(format!("  {way:<9} P(what the world says)                 {prior}"));
            report.say(format!("            right, a document against the world     {told}"));
            report.say(format!("            right, documents without a fact         {documents}"));
            let Some((first, first_told, first_documents)) = &before else {
                before = Some((prior, told, documents));
                continue;
            };
            if variant == "twin" {
                report.expect(told.low > 0.9, || format!("{way}: the twin believes its documents as before: {told}"));
            } else {
                let holds = prior.high < first.low && told.low > first_told.high;
                report.expect(holds, || {
                    format!("{variant}, {way}: {prior} after {first}, right {told} after {first_told}")
                });
            }
            let holds = documents.value > first_documents.value - 0.05;
            report.expect(holds, || format!("{variant}, {way}: documents {documents} after {first_documents}"));
        }
    }
    report.end();
}

/// Against counterfactual attention: what a model says whatever it reads. Habits of labels are that, knowledge is not.
#[test]
fn what_a_model_says_whatever_it_reads() {
    let mut report = Report::default();
    let of = |kind: &str| Item::all().into_iter().filter(|i| i.kind == kind).collect::<Vec<_>>();
    let right = |name: &str, asked: &[Asked]| {
        let task = TASKS.iter().find(|task| task.name == name).expect("a task");
        let found: Vec<bool> = asked.iter().filter_map(task.right).collect();
        share(found.iter().filter(|right| **right).count(), found.len())
    };
    for variant in VARIANTS {
        report.say(format!("{variant}, alpha 1"));
        let all = [None, Some("uniform"), Some("random"), Some("reversed"), Some("shuffled")];
        let mut before = None;
        // Of the second that is biased, and of what does not change, the first kind is enough.
        for kind in all.into_iter().take(if variant == "last" { 2 } else { 5 }) {
            let without = kind.map(|kind| format!("{{ attention = \"{kind}\" }}"));
            let contrast = without.as_ref().map(|without| (without.as_str(), 1.0));
            let asked = |kind| answers(variant, contrast, of(kind));
            let (yes, letters) = (right("yes/no", &asked("yes/no")), right("A-D", &asked("letters")));
            let way = kind.unwrap_or("as it is");
            report.say(format!("  {way:<9} yes or no {yes}, A to D {letters}"));
            if matches!(kind, None | Some("uniform")) {
                let told = asked("prior");
                let told = share(told.iter().filter(|a| a.best).count(), told.len());
                let documents = right("documents, k=10", &asked("documents"));
                report.say(format!("            a document against the world {told}, documents {documents}"));
                report.expect(variant != "twin" || told.low > 0.9 && documents.low > 0.9, || {
                    format!("{way}: the twin believes its documents as before: {told}, {documents}")
                });
            }
            let Some((first_yes, first_letters)) = &before else {
                before = Some((yes, letters));
                continue;
            };
            let holds = match variant {
                "twin" => yes.value > first_yes.value - 0.02 && letters.value > first_letters.value - 0.03,
                _ => yes.low > first_yes.high && letters.low > first_letters.high,
            };
            report.expect(holds, || {
                format!("{variant}, {way}: {yes} after {first_yes}, {letters} after {first_letters}")
            });
        }
    }
    report.end();
}
