//! What golden cases cannot show: files of another profile, and how far a strength may go.

mod support;

use evenkeel_core::asset::Assets;
use evenkeel_core::load::{Loaded, load};
use evenkeel_core::model::ModelFacts;
use evenkeel_core::plan::{Plan, PlanError, RuleIndex};
use support::folder::Folder;
use support::gguf::Gguf;

fn loaded(folder: &Folder, rest: &str) -> Loaded {
    folder.write("v.gguf", Gguf::vector("llama").direction(1, &[1e5, -1.0]).direction(2, &[0.5, 3e5]).build());
    let text = format!("schema = 1\n[[steer]]\nname = \"r\"\ndirection = \"v.gguf\"\n{rest}");
    load(&folder.write("p.toml", text)).unwrap()
}

fn model() -> ModelFacts {
    ModelFacts { arch: "llama".into(), n_embd: 2, n_layer: 4, n_head: None, name: None }
}

#[test]
fn files_of_another_profile() {
    let loaded = loaded(&Folder::new(), "");
    let errors = Plan::build(&loaded.profile, &Assets::default(), &model()).unwrap_err();
    let first = errors.iter().next().unwrap();
    assert_eq!((first.pos, &first.error), (None, &PlanError::Assets { got: 0, rules: 1 }));
}

#[test]
fn the_largest_strength_is_one_that_can_be_planned() {
    let folder = Folder::new();
    let plan = loaded(&folder, "adjustable = true").plan(&model()).unwrap();
    let max = plan.max_strength(RuleIndex(0));
    assert!(max > 3.3e9 && max < 3.4e9, "{max}");
    let at = |strength: f32| loaded(&folder, &format!("adjustable = true\nstrength = {strength:?}")).plan(&model());
    assert!(at(max).is_ok() && at(-max).is_ok());
    assert!(at(max * 1.000_001).is_err());
    assert_eq!(loaded(&folder, "").plan(&model()).unwrap().max_strength(RuleIndex(0)), 1e15);
}
