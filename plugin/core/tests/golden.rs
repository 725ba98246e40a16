//! Every case leads to the text beside it: a plan, or all of its errors. `BLESS=1` writes the texts anew.

mod support;

use evenkeel_core::load::load;
use support::cases::{self, Sandbox};

fn differences(found: Vec<String>) {
    assert!(found.is_empty(), "{}\n(BLESS=1 accepts what was got)", found.join("\n"));
}

#[test]
fn good_profiles_make_the_plan_beside_them() {
    let sandbox = Sandbox::new();
    let mut found = vec![];
    for case in cases::list("good") {
        let loaded = load(&sandbox.put(&case)).unwrap_or_else(|e| panic!("{e}"));
        let plan = loaded.plan_with(&cases::model(&case), Some(&cases::vocabulary())).unwrap_or_else(|e| panic!("{e}"));
        found.extend(cases::compare(&case, "plan.txt", &plan.to_string()));
    }
    differences(found);
}

#[test]
fn bad_profiles_give_all_errors_beside_them() {
    let sandbox = Sandbox::new();
    let mut found = vec![];
    for case in cases::list("bad") {
        let text = match load(&sandbox.put(&case)) {
            Err(errors) => errors.to_string(),
            Ok(loaded) => match loaded.plan_with(&cases::model(&case), Some(&cases::vocabulary())) {
                Err(errors) => errors.to_string(),
                Ok(plan) => panic!("{} was accepted:\n{plan}", case.display()),
            },
        };
        let text = sandbox.plain(&text);
        check_lines(&case.file_name().unwrap().to_string_lossy(), &text);
        found.extend(cases::compare(&case, "err.txt", &text));
    }
    differences(found);
}

/// Each line of a report stands for itself: file, line, column, key, what, got, allowed.
fn check_lines(name: &str, report: &str) {
    for line in report.lines() {
        let rest = line.strip_prefix(name).unwrap_or_else(|| panic!("{line}"));
        assert!(rest.contains(", got ") && rest.contains(", allowed: "), "{line}");
        let place = rest.split(' ').next().unwrap().trim_end_matches(':');
        assert!(place.split(':').skip(1).all(|n| n.parse::<u32>().is_ok()), "{line}");
    }
}

#[test]
fn there_are_enough_cases() {
    assert!(cases::list("good").len() >= 12);
    assert!(cases::list("bad").len() >= 40);
}
