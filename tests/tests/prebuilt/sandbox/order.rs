//! The order of documents, in models of which one prefers the first and one the last: as they are, and under each mode of
//! `[invariance]`, beside the honest cheap way: to ask once for every order that turning the documents gives, and to take the
//! answer that came most often.

use std::collections::BTreeMap;

use evenkeel_tests::{Profile, Scratch};

use super::Report;
use super::effects::EFFECTS;
use super::items::Item;
use super::lab::{Asked, ask, ask_by, model, under};
use super::stats::{Figure, Interval, share};

/// Ways to answer.
const WAYS: [&str; 3] = ["as it is", "pine", "set"];

/// Questions whose documents are turned, for the flip rate and the vote.
const TURNED: usize = 200;

/// By how much: of ten documents.
const TURNS: [usize; 4] = [1, 4, 6, 9];

/// What a variant answers in one of the ways.
fn answers(variant: &str, way: &str, items: Vec<Item>) -> Vec<Asked> {
    let model = model(&format!("models/{variant}-f16.gguf"));
    let scratch = Scratch::new();
    let path = scratch.path("order.toml");
    let table = match way {
        "as it is" => String::new(),
        // Rows of one prompt at a time: each region is looked at by every row of a batch.
        mode => format!("[invariance]\nmode = \"{mode}\"\nsegments = {{ open = \"<doc>\", close = \"</doc>\" }}\n"),
    };
    std::fs::write(&path, Profile::empty().with(&table).text()).expect("a profile");
    under(&path, || if table.is_empty() { ask(&model, items) } else { ask_by(&model, items, 1) })
}

/// P(gold) at place 1 less that at place 10, as the planted effect is measured.
fn gap(asked: &[Asked]) -> Interval {
    EFFECTS[2].sample(asked).interval(Figure::Mean, 0.0)
}

/// The share of questions of a kind (and, of those with places, a place) whose likeliest token is the answer.
fn right(asked: &[Asked], kind: &str, x: f64) -> Interval {
    let of: Vec<bool> = asked.iter().filter(|a| a.item.kind == kind && a.item.x == x).map(|a| a.best).collect();
    share(of.iter().filter(|best| **best).count(), of.len())
}

#[test]
fn the_order_of_documents_decides_no_longer() {
    let mut report = Report::default();
    let items: Vec<Item> = Item::all();
    let asked_of =
        |kinds: &[&str]| items.iter().filter(|i| kinds.contains(&i.kind.as_str())).cloned().collect::<Vec<_>>();
    for variant in ["first", "last"] {
        let dose = EFFECTS[2].dose(variant);
        report.say(format!("{variant}, planted P(gold) at place 1 - at place 10: {dose:+.2}; n=200 a figure"));
        for way in WAYS {
            let asked = answers(variant, way, asked_of(&["position", "two documents"]));
            let found = gap(&asked);
            report.say(format!("  {way:<9} P(gold) at place 1 - at place 10  {found}"));
            for place in [1.0, 5.0, 10.0] {
                report.say(format!(
                    "            right, gold at place {place:<2}             {}",
                    right(&asked, "position", place)
                ));
            }
            let two = [1.0, 2.0].map(|order| right(&asked, "two documents", order));
            report.say(format!("            right, two documents, needed first  {}", two[0]));
            report.say(format!("            right, two documents, needed last   {}", two[1]));
            let holds = if way == "as it is" { found.is_present(dose) } else { found.is_absent(dose) };
            report.expect(holds, || format!("{variant}, {way}: the planted effect {dose:+.2} is {found}"));
            match way {
                "pine" => {
                    report.expect(two[1].low > 0.8, || format!("{variant}: pine reads both documents in both orders"))
                }
                "set" => report
                    .expect(two[0].high < 0.5, || format!("{variant}: documents that do not see each other cannot")),
                _ => {}
            }
        }
        let questions: Vec<Item> = items.iter().filter(|i| i.kind == "documents").take(TURNED).cloned().collect();
        for way in WAYS {
            let (mut flipped, mut votes): (usize, BTreeMap<String, usize>) = (0, BTreeMap::new());
            let best = |asked: Vec<Asked>| {
                asked.into_iter().map(|a| (a.item.cluster.clone(), a.best)).collect::<BTreeMap<_, _>>()
            };
            let straight = best(answers(variant, way, questions.clone()));
            for by in TURNS {
                let turned = best(answers(variant, way, questions.iter().map(|q| q.turned(by)).collect()));
                flipped += turned.iter().filter(|(q, best)| straight[*q] != **best).count();
                turned.iter().filter(|(_, best)| **best).for_each(|(q, _)| *votes.entry(q.clone()).or_default() += 1);
            }
            let flips = share(flipped, TURNS.len() * questions.len());
            let alone = share(straight.values().filter(|b| **b).count(), questions.len());
            report.say(format!("  {way:<9} right, documents as they come        {alone}"));
            report.say(format!("            of {} turned orders, right or wrong changes in  {flips}", TURNS.len()));
            if way == "as it is" {
                // With the straight order five of ten turns, each one evaluation: most of them right is right.
                let voted = questions.iter().filter(|q| {
                    let n = votes.get(&q.cluster).copied().unwrap_or(0) + usize::from(straight[&q.cluster]);
                    2 * n > TURNS.len() + 1
                });
                let voted = share(voted.count(), questions.len());
                report
                    .say(format!("  turned {} times, the majority (costs {0} evaluations)  {voted}", TURNS.len() + 1));
                report.expect(flips.value > 0.02, || {
                    format!("{variant}: the order decides without the profile: {flips}")
                });
            } else {
                report.expect(flips.value < 0.01, || format!("{variant}, {way}: {flips}"));
            }
        }
    }
    report.end();
}
