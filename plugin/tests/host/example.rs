//! `examples/c` compiles, and steers the null host. It declares what it needs of llama.h by itself here.

use std::process::Command;

use super::support::*;

#[test]
fn the_c_example_steers() {
    let sources = ["steer.c", "llama_api.c"].map(|f| repository().join("examples/c").join(f));
    let include = format!("-I{}", repository().join("include").display());
    let flags = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-pedantic", &include, "-ldl"];
    let program = compile(&compiler("CC"), "steer", &sources, &flags);
    // Strong enough that the likeliest of the four tokens changes.
    let profile = Profile::with("layers = [1]\nadjustable = true\nstrength = 0");
    let output = Command::new(program)
        .args([host(&[]), library(), "model.gguf".into(), profile.path()])
        .args(["push", "100", "abc"])
        .env_remove("EVENKEEL_PROFILE")
        .output()
        .expect("the example starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    let [before, after, stats] = lines[..] else { panic!("three lines are expected\n{out}{err}") };
    assert!(before.starts_with("abc") && after.starts_with("abc") && before != after, "{out}{err}");
    let stats: serde_json::Value = serde_json::from_str(stats).expect("stats are JSON");
    let rule = &stats["contexts"][0]["rules"][0];
    assert_eq!((&rule["name"], &rule["strength"]), (&"push".into(), &100.0.into()), "{out}{err}");
    assert_eq!(rule["graphs"], 24, "one for every generated token\n{out}{err}");
}
