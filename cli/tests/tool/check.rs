//! `check` and `plan`.

use crate::support::{Folder, PROFILE, evenkeel};

#[test]
fn a_good_profile_is_good_alone_and_with_its_model() {
    let folder = Folder::new();
    let model = folder.model();
    let profile = folder.write("p.toml", PROFILE);
    let alone = evenkeel(&["check", &profile]);
    assert_eq!(alone.code, 0, "{alone:?}");
    assert!(alone.out.contains("1 rule"), "{alone:?}");
    let fitted = evenkeel(&["check", &profile, "--model", &model]);
    assert_eq!(fitted.code, 0, "{fitted:?}");
    assert!(fitted.out.contains("It fits") && fitted.out.contains("llama"), "{fitted:?}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let folder = Folder::new();
    let bad = PROFILE.replace("strength", "strenght").replace("schema = 1", "schema = 9");
    let profile = folder.write("bad.toml", &bad);
    let ran = evenkeel(&["check", &profile]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("did you mean strength?") && ran.err.contains(":2:"), "{ran:?}");
    assert!(ran.err.contains("2 mistakes"), "{ran:?}");
    let json = evenkeel(&["check", &profile, "--json"]);
    let errors = json.json();
    assert_eq!((json.code, errors["ok"].as_bool()), (1, Some(false)));
    assert_eq!(errors["errors"].as_array().map(Vec::len), Some(2), "{errors}");
    assert_eq!(errors["errors"][0]["key"], "schema");
}

#[test]
fn a_profile_for_another_model_is_refused() {
    let folder = Folder::new();
    let model = folder.model();
    let profile = folder.write("p.toml", &PROFILE.replace("[1, 2]", "[1, 77]"));
    let ran = evenkeel(&["check", &profile, "-m", &model]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("77") && ran.err.contains("steer.layers"), "{ran:?}");
    assert_eq!(evenkeel(&["plan", &profile, "-m", &model]).code, 1);
}

#[test]
fn a_plan_names_rules_layers_and_nodes() {
    let folder = Folder::new();
    let model = folder.model();
    let profile = folder.write("p.toml", PROFILE);
    let ran = evenkeel(&["plan", &profile, "--model", &model]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in ["rule happy", "layer 1 residual", "layer 2 residual", "l_out-1 = ADD(x"] {
        assert!(ran.out.contains(part), "no `{part}` in {}", ran.out);
    }
    let json = evenkeel(&["plan", &profile, "--model", &model, "--json"]).json();
    assert_eq!(json["rules"][0]["layers"], serde_json::json!([1, 2]));
    assert_eq!(json["sites"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["nodes"]["new"], 2);
}

#[test]
fn an_empty_profile_changes_nothing() {
    let folder = Folder::new();
    let model = folder.model();
    let profile = folder.write("empty.toml", "schema = 1\n");
    let ran = evenkeel(&["plan", &profile, "--model", &model, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["nodes"]["new"], 0);
}
