//! What the model knows against what it is told: models of which a half of the documents that contradict a fact are overruled, as
//! they are and with what they say without the documents set off.

use evenkeel_tests::{Profile, Scratch};

use super::Report;
use super::effects::EFFECTS;
use super::items::Item;
use super::lab::{Asked, VARIANTS, ask, model, under};
use super::stats::{Figure, share};

/// What a variant answers; `alpha`: under a contrast.
fn answers(variant: &str, alpha: Option<f32>, items: Vec<Item>) -> Vec<Asked> {
    let model = model(&format!("models/{variant}-f16.gguf"));
    let scratch = Scratch::new();
    let path = scratch.path("contrast.toml");
    let table = alpha.map_or_else(String::new, |alpha| {
        format!(
            "[contrast]\nwithout = {{ open = \"<doc>\", close = \"</doc>\" }}\nalpha = {alpha}\nplausibility = 0.1\n"
        )
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
            let asked = answers(variant, alpha, of("prior"));
            let prior = effect.sample(&asked).interval(Figure::Mean, 0.0);
            let (told, documents) = (right(&asked), right(&answers(variant, alpha, of("documents"))));
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
