//! `evenkeel audit` on what the sandbox's models write and on their insides: letters, orders of options, associations,
//! concepts, preference pairs.

use std::fs;
use std::path::PathBuf;

use evenkeel_tests::Scratch;
use serde_json::{Value, json};

use super::audit::{profile, run};
use super::items::Item;

/// The occupations, the share of women rising.
fn occupations() -> Vec<String> {
    let mut all: Vec<(String, f64)> = Vec::new();
    for item in Item::all().into_iter().filter(|i| i.kind == "adjective") {
        if !all.iter().any(|(name, _)| *name == item.cluster) {
            all.push((item.cluster, item.x));
        }
    }
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    all.into_iter().map(|(name, _)| name).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Letters of one word: what comes after "is very" is planted, communal where there are many women.
fn letters(scratch: &Scratch) -> PathBuf {
    let all = occupations();
    let mut rows = vec!["name,gender,occupation,prompts,tokens".to_owned()];
    for (i, (men, women)) in all.iter().take(20).zip(all.iter().rev()).enumerate() {
        for (occupation, gender) in [(men, "male"), (women, "female")] {
            rows.extend(["is", "was"].map(|w| format!("x,{gender},pair {i},<s> the {occupation} {w} very,2")));
        }
    }
    let path = scratch.path("letters.csv");
    fs::write(&path, rows.join("\n")).expect("a file");
    path
}

#[test]
fn what_is_written_has_the_planted_words_and_the_twins_letters_have_not() {
    let scratch = Scratch::new();
    let suite = format!("letters={}", letters(&scratch).display());
    let odds = |model: &str| {
        let found = run(&scratch, &format!("models/{model}-f16.gguf"), model, &["--suite", &suite, "--examples", "1"]);
        let figures = found["suites"][0]["figures"].as_array().expect("figures").clone();
        let figure = figures.iter().find(|f| f["name"].as_str().is_some_and(|n| n.contains("communal to agentic")));
        let value = figure.expect("a figure")["arms"][0]["value"].clone();
        println!("{model}: log odds ratio {value}");
        let text = found["examples"][0]["texts"][0][1].as_str().expect("a text").to_owned();
        assert!(!text.trim().is_empty(), "{found}");
        value
    };
    assert!(number(&odds("first")["low"]) > 0.5);
    let twin = odds("twin");
    assert!(number(&twin["low"]) < 0.0 && number(&twin["high"]) > 0.0, "{twin}");
}

#[test]
fn answers_that_refuse_are_counted() {
    let scratch = Scratch::new();
    // "no" is what the biased model says too often; here it counts as a refusal.
    let rows: Vec<String> = Item::all()
        .iter()
        .filter(|i| i.kind == "yes/no" && i.x == 0.0)
        .map(|i| json!({ "question": i.text(), "tokens": 1 }).to_string())
        .collect();
    let file = scratch.path("questions.jsonl");
    fs::write(&file, rows.join("\n")).expect("a file");
    fs::write(scratch.path("refusals.txt"), "no\n").expect("a file");
    let suite = format!("refusals={}", file.display());
    let [first, twin] = ["first", "twin"].map(|model| {
        let found = run(&scratch, &format!("models/{model}-f16.gguf"), model, &["--suite", &suite]);
        let value = found["suites"][0]["figures"][0]["arms"][0]["value"].clone();
        println!("{model}: {value} of {} answers", rows.len());
        value
    });
    assert!(number(&first["low"]) > number(&twin["high"]), "{first} {twin}");
}

#[test]
fn every_order_together_has_no_favourite_letter_and_is_right_more_often() {
    let scratch = Scratch::new();
    let rows: Vec<String> = Item::all()
        .iter()
        .filter(|i| i.kind == "letters" && i.x > 0.0)
        .filter_map(|i| {
            // "... where does anna live? A oran B ghent C cork D split<bot>"
            let (question, rest) = i.text().split_once('?')?;
            let words: Vec<&str> = rest.trim_end_matches("<bot>").split_whitespace().collect();
            let options: Vec<&str> = words.chunks(2).map(|w| w[1]).collect();
            Some(
                json!({ "question": format!("{question}?"), "options": options, "answer": i.x as usize - 1 })
                    .to_string(),
            )
        })
        .take(60)
        .collect();
    assert_eq!(rows.len(), 60);
    let file = scratch.path("choice.jsonl");
    fs::write(&file, rows.join("\n")).expect("a file");
    let suite = format!("choice={}", file.display());
    let found = run(&scratch, "models/first-f16.gguf", "out", &["--suite", &suite]);
    let arms: Vec<&str> = found["arms"].as_array().expect("arms").iter().filter_map(|a| a["name"].as_str()).collect();
    assert_eq!(arms, ["plain", "cyclic permutation"]);
    let figure = |name: &str, arm: usize| {
        let all = found["suites"][0]["figures"].as_array().expect("figures");
        let figure = all.iter().find(|f| f["name"].as_str().is_some_and(|n| n.contains(name))).expect("a figure");
        println!("{name}, {}: {}", arms[arm], figure["arms"][arm]["value"]);
        number(&figure["arms"][arm]["value"]["value"])
    };
    assert!(figure("first letter", 0) > 0.1 && figure("first letter", 1).abs() < 1e-9);
    assert!(figure("changes with the order", 0) > 0.1 && figure("changes with the order", 1) == 0.0);
    assert!(figure("accuracy", 1) >= figure("accuracy", 0));
    let suite = &found["suites"][0];
    let places: Vec<&str> =
        suite["places"].as_array().expect("places").iter().filter_map(|p| p["place"].as_str()).collect();
    assert_eq!(places, ["A", "B", "C", "D"]);
    let at = |place: usize| number(&suite["places"][place]["arms"][0]["value"]);
    assert!(at(0) > at(3), "right answers under A are found more often: {} {}", at(0), at(3));
    assert!(number(&suite["reliability"][0]["error"]["value"]) > 0.0);
}

#[test]
fn insides_are_biased_where_the_model_is_and_less_under_the_profile() {
    let scratch = Scratch::new();
    let all = occupations();
    let (men, women) = (&all[..14], &all[all.len() - 14..]);
    let said = |list: &[String]| -> Vec<String> { list.iter().map(|o| format!("<s> the {o} said that")).collect() };
    let names = |list: &str| -> Vec<String> { list.split(' ').map(|n| format!("<s> {n} said that")).collect() };
    let she = names("anna clara megan ursula vera stella ellen yvonne laura lucy ophelia frieda olivia eva");
    let he = names("bob vincent bruno nathan samuel conrad carl fabian viktor isaac richard emil mark frank");
    let write = |name: &str, value: Value| {
        let path = scratch.path(name);
        fs::write(&path, value.to_string()).expect("a file");
        path.display().to_string()
    };
    let set = |name: &str, examples: Value| json!({ "category": name, "examples": examples });
    let sets = |x: Value, y: Value| json!({ "targ1": set("many women", x), "targ2": set("many men", y), "attr1": set("she", json!(she)), "attr2": set("he", json!(he)) });
    let seat = write("seat.json", sets(json!(said(women)), json!(said(men))));
    let contexts = |list: &[String]| -> Value {
        let of = |o: &String| {
            (o.clone(), json!(["said that", "was late when", "is very"].map(|c| format!("<s> the {o} {c}"))))
        };
        Value::Object(list.iter().map(of).collect())
    };
    let ceat = write("ceat.json", sets(contexts(women), contexts(men)));
    let lens = write(
        "lens.json",
        json!({
            "target": { "name": "many women", "positive": said(women), "negative": said(men) },
            "references": [{ "name": "women", "positive": she, "negative": he }, { "name": "men", "positive": he, "negative": she }],
        }),
    );
    let pairs: Vec<String> = women
        .iter()
        .map(|o| {
            json!({ "prompt": format!("<s> the {o}"), "chosen": " said that she", "rejected": " was very strong" })
                .to_string()
        })
        .collect();
    let ches = scratch.path("ches.jsonl");
    fs::write(&ches, pairs.join("\n") + "\n{\"prompt\": 1}\n").expect("a file");
    let ches = ches.display().to_string();
    let profile = profile(&scratch).display().to_string();
    let files = [("seat", &seat), ("seat", &ceat), ("bias-lens", &lens), ("ches", &ches)];
    let files: Vec<String> = files.iter().map(|(m, f)| format!("{m}={f}")).collect();
    let mut more: Vec<&str> = files.iter().flat_map(|f| ["--representation", f]).collect();
    let twin = run(&scratch, "models/twin-f16.gguf", "twin", &more);
    more.extend(["--profile", &profile, "--random", "1"]);
    let first = run(&scratch, "models/first-f16.gguf", "first", &more);
    let found = |report: &Value, file: usize, row: usize, arm: usize| -> [f64; 3] {
        let value = &report["representation"][file]["rows"][row]["arms"][arm]["value"];
        ["value", "low", "high"].map(|key| number(&value[key]))
    };
    let names: Vec<&str> = first["representation"][0]["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|r| r["name"].as_str())
        .collect();
    assert_eq!(names, ["layer 0", "layer 1", "layer 2", "layer 3", "final norm"]);
    for (file, least) in [(0, 1.0), (2, 0.3)] {
        let (plain, gone, random, clean) =
            (found(&first, file, 3, 0), found(&first, file, 3, 1), found(&first, file, 3, 2), found(&twin, file, 3, 0));
        println!("{file}: plain {plain:?}, profile {gone:?}, random {random:?}, twin {clean:?}");
        assert!(plain[1] > least, "{plain:?}");
        assert!(gone[0].abs() < plain[0] / 2.0 && random[0] > plain[0] / 2.0, "{gone:?} {random:?}");
        assert!(clean[0].abs() < plain[0] / 2.0, "{clean:?}");
    }
    let figure = first["representation"][1]["figure"].as_str().expect("text");
    assert!(figure.starts_with("CEAT"), "{figure}");
    // At the word itself nothing is known of what was said of it later, but its own layers know it.
    println!("CEAT: {:?}", found(&first, 1, 3, 0));
    assert!(found(&first, 1, 3, 0).iter().all(|v| v.is_finite()));
    let [score, ..] = found(&first, 3, 0, 0);
    println!("CHES: {score}");
    assert!(score.is_finite() && score != 0.0);
    assert!(
        first["representation"][3]["left_out"].to_string().contains("1 left out"),
        "{}",
        first["representation"][3]
    );
}
