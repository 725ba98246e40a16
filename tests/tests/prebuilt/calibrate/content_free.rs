//! `prior = { content-free = [...] }`: a prior that is measured before the first evaluation, against what the plain server says to
//! the same prompts.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{Arguments, CHost, Decode, Server, ServerKind};
use evenkeel_tests::{Door, Profile, Scratch, Setting};
use serde_json::json;

use super::online::{divided, gap, labels, prompt, shares};
use super::served::{post, raw};
use super::{Case, Formula, each, expected};

const PROMPTS: [&str; 3] = ["is it a or b\\n", "n. a.", "a longer prompt, with nothing in it: "];

fn table(prompts: &[&str], more: &str) -> String {
    let prompts: Vec<String> = prompts.iter().map(|p| format!("\"{p}\"")).collect();
    format!(
        "[[calibrate]]\nname = \"labels\"\nlabels = [\"a\", \"b\", \"c\"]\nmethod = \"contextual\"\nprior = {{ content-free = \
         [{}] }}\n{more}\n",
        prompts.join(", ")
    )
}

/// The mean of the labels' shares after the prompts, as the plain server has them.
fn mean(plain: &Server) -> Vec<f64> {
    let tokens = |text: &str| -> Vec<u32> {
        let body = json!({ "content": text.replace("\\n", "\n"), "add_special": true, "parse_special": true });
        let answer = plain.post("/tokenize", &body).expect("tokens");
        answer["tokens"].as_array().expect("tokens").iter().map(|t| t.as_u64().expect("a token") as u32).collect()
    };
    let all: Vec<Vec<f64>> = PROMPTS.iter().map(|text| shares(&raw(plain, &tokens(text)))).collect();
    (0..3).map(|l| all.iter().map(|q| q[l]).sum::<f64>() / all.len() as f64).collect()
}

#[test]
fn it_is_measured_before_the_first_request() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(2);
    let plain = Server::start(ServerKind::Xllamacpp, &arguments, &Setting::new());
    let prior = mean(&plain);
    for (form, zhao) in [("", false), ("form = \"zhao\"\n", true)] {
        let profile = Profile::empty().with(&table(&PROMPTS, &format!("{form}min-label-mass = 0")));
        let setting = Door::Preload.setting().and(&scratch.profile(&profile));
        let server = Server::start(ServerKind::Xllamacpp, &arguments, &setting);
        let wanted = |raw: &[f64]| {
            if !zhao {
                return divided(raw, &prior);
            }
            let prior = prior.clone();
            let formula: Formula = Box::new(move |q| each(q, |i, q| q / prior[i]));
            expected(&Case { what: "zhao", labels: labels(), keys: "", file: vec![], formula }, raw).0
        };
        let (mut most, mut moved) = (0.0f64, 0.0f64);
        for i in 0..8 {
            let (before, got) = (raw(&plain, &prompt(i)), raw(&server, &prompt(i)));
            most = most.max(gap(&wanted(&before), &got));
            moved = moved.max(gap(&before, &got));
        }
        println!("prior {prior:.3?}: to {most:.1e} of up to {moved:.2}");
        assert!(most < 1e-4 && moved > 0.1, "{most:e} of {moved:e}");
        let log = server.log();
        assert_eq!(log.matches("was measured on 3 prompts").count(), 1, "{log}");
        assert!(!log.contains("evenkeel: error"), "{log}");
        // Nothing of the prompts is left: a request that begins like one of them evaluates every token.
        let body = json!({ "prompt": "n. a. and more", "n_predict": 1, "id_slot": 1 });
        let answer = post(&server, &body);
        assert_eq!(answer["timings"]["cache_n"], json!(0), "{answer}");
    }
}

/// In every program that the library comes into, before its first evaluation; where the function that makes tokens is not handed
/// over, it is refused by name.
#[test]
fn a_program_gets_it_before_its_first_evaluation() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decode = Decode { sequences: 2, ubatch: 5, last_only: true, ..Decode::new(&model) };
    let plain = host.plain(&decode);
    let setting = scratch.profile(&Profile::empty().with(&table(&PROMPTS, "at = \"any\"\nmin-label-mass = 0")));
    let hooked = host.with(&decode, Door::Preload, &setting);
    plain.assert_all_differ(&hooked, "every row is calibrated");
    for door in [Door::BackendPath, Door::Install, Door::EmbedExported] {
        hooked.assert_same(&host.with(&decode, door, &setting), &format!("{door:?}"));
    }
    let (finished, recording) = host.try_run(&decode, Some(Door::Embed), &setting);
    assert!(finished.stderr.contains("this program gave no llama_tokenize"), "{}", finished.stderr);
    plain.assert_same(&recording.expect("the host runs on"), "it stays off");
}

#[test]
fn without_labels_in_its_answers_it_stays_off() {
    let scratch = Scratch::new();
    let host = CHost::node_llama_cpp();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decode = Decode::new(&model);
    let setting = scratch.profile(&Profile::empty().with(&table(&PROMPTS, "at = \"any\"\nmin-label-mass = 0.9")));
    let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &setting);
    let says = "have no more than min-label-mass after any of its prompts";
    assert_eq!(finished.stderr.matches(says).count(), 1, "{}", finished.stderr);
    host.plain(&decode).assert_same(&recording.expect("the host runs on"), "it stays off");
}
