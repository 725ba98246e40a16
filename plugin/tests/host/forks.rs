//! A forked child begins anew: what it inherited runs on, what it makes is bound to what the environment says.

use super::support::*;

#[test]
fn a_child_is_inert_for_what_it_inherited_and_fresh_for_what_it_makes() {
    let profile = Profile::with(CONSTANT);
    for door in [Door::Preload, Door::Install] {
        let ran = Driver::new(door, "forks").env("EVENKEEL_PROFILE", profile.path()).run();
        let (one, two, steered_one, steered_two) = (plain(1), plain(2), steered(1, 1, 1.0), steered(2, 1, 1.0));
        // In the parent; in the child the inherited graph as it was rewritten, one that is built anew, its own context.
        let child = [steered_one, two, steered_two];
        let parent = [steered_one, steered_two];
        assert_eq!(ran.logits(), [&[steered_one], &child[..], &parent[..]].concat(), "{door:?}, {one:?}\n{ran}");
        ran.printed("-- child\nstats ").printed("-- parent: the child ended with 0");
        let first = ran.stdout.lines().find_map(|l| l.strip_prefix("stats ")).expect("the child's stats");
        let first: serde_json::Value = serde_json::from_str(first).expect("JSON");
        assert_eq!((&first["status"], &first["contexts"]), (&"waiting".into(), &serde_json::json!([])), "{ran}");
        assert_eq!(ran.stats()["contexts"][0]["rules"][0]["graphs"], 3, "the parent's own count\n{ran}");
    }
}

#[test]
fn no_child_hangs_that_is_forked_while_others_are_in_the_hooks() {
    let profile = Profile::with(CONSTANT);
    let ran = Driver::new(Door::Preload, "forks-under-load")
        .env("EVENKEEL_PROFILE", profile.path())
        .env("EVENKEEL_LOG", "warn")
        .run();
    ran.printed("0 children failed");
}
