//! Every good profile leads, on a toy graph of its model, to the patch beside it. `BLESS=1` writes the texts anew.

mod support;
mod toy;

use evenkeel_core::{
    load::load,
    lower::{Lowered, lower},
};
use support::cases::{self, Sandbox};
use toy::Toy;

#[test]
fn good_profiles_make_the_patch_beside_them() {
    let sandbox = Sandbox::new();
    let mut found = vec![];
    for case in cases::list("good") {
        let model = cases::model(&case);
        let plan = load(&sandbox.put(&case)).unwrap().plan_with(&model, Some(&cases::vocabulary())).unwrap();
        let graph = Toy { capacity: 4096, ..Toy::new(model.n_layer, model.n_embd) }.build();
        let Lowered::Patch(patch, missed) = lower(&plan, &graph).unwrap() else {
            panic!("a graph with logits is ours")
        };
        assert_eq!(missed, [], "{}", case.display());
        found.extend(cases::compare(&case, "patch.txt", &patch.to_string()));
    }
    assert!(found.is_empty(), "{}\n(BLESS=1 accepts what was got)", found.join("\n"));
}
