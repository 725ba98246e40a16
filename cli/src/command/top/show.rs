//! The view on a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table};
use owo_colors::OwoColorize;

use super::view::{Context, Rule, State, View};
use crate::screen;

/// All processes, as text with colours.
pub fn text(views: &[View]) -> String {
    let mut out = String::new();
    for (i, view) in views.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        // Writing to a string does not fail.
        let _ = process(&mut out, view);
    }
    out
}

fn process(out: &mut String, v: &View) -> std::fmt::Result {
    let state = match v.state {
        State::Active => "active".green().to_string(),
        State::Idle => format!("{} for {}", "idle".yellow(), ago(v.age)),
        State::Unknown => format!("{} nothing for {}, in another container", "unknown:".yellow(), ago(v.age)),
    };
    writeln!(out, "{} {state}", format!("{} (process {})", plain(&v.program), v.pid).bold())?;
    let profile = v.profile.as_deref().map_or("none".into(), plain);
    writeln!(out, "  {} {profile}, {}", "profile ".dimmed(), status(v))?;
    for line in v.error.iter().flat_map(|e| e.lines()) {
        writeln!(out, "  {} {}", "error:".red().bold(), plain(line))?;
    }
    write!(out, "  {} {} micro-batches", "decode  ".dimmed(), number(v.decode.calls))?;
    if let Some(rate) = v.decode.calls_per_second {
        write!(out, ", {rate:.1} per second")?;
    }
    if let Some(us) = v.decode.hook_us {
        write!(out, "; own work {us:.1} µs for each, at most {:.1} µs so far", v.decode.hook_longest_us)?;
    }
    writeln!(out)?;
    let counted = v.trouble.iter().filter(|(_, n)| n.as_u64() != Some(0));
    let trouble: Vec<String> = counted.map(|(kind, n)| format!("{}: {n}", plain(&kind.replace('_', " ")))).collect();
    if !trouble.is_empty() {
        writeln!(out, "  {} {}", "trouble ".red(), trouble.join(", "))?;
    }
    v.contexts.iter().try_for_each(|c| context(out, c))
}

fn status(v: &View) -> String {
    match v.status.as_str() {
        "active" => "in force".green().to_string(),
        "waiting" => "waits for a context that it is for".yellow().to_string(),
        "poisoned" => "an internal error: everything runs as the host built it".red().to_string(),
        "failed" => "cannot be used".red().to_string(),
        "idle" => "nothing is asked for".yellow().to_string(),
        other => plain(other),
    }
}

fn context(out: &mut String, c: &Context) -> std::fmt::Result {
    writeln!(out, "\n  {} {}", format!("context {}", c.id).bold(), plain(&c.model))?;
    if c.standing != "ours" {
        let why = c.why.as_deref().map_or("no profile was named when it was made".into(), plain);
        return writeln!(out, "    left alone: {why}");
    }
    let r = &c.requests;
    let warn = |n: u64, text: String| if n > 0 { text.yellow().to_string() } else { text };
    writeln!(
        out,
        "    requests {} ended, {}; cells {} evaluated again, {}; profiles reloaded {}",
        number(r.ended),
        warn(r.refused, format!("{} refused", number(r.refused))),
        number(r.cells_evaluated_again),
        warn(r.cells_left_stale, format!("{} left as another profile made them", number(r.cells_left_stale))),
        times(r.reloads),
    )?;
    if c.contrast.rows > 0 {
        let (rows, tokens) = (number(c.contrast.rows), number(c.contrast.tokens));
        writeln!(
            out,
            "    contrast {rows} rows set off, {tokens} tokens evaluated without contexts or images for that"
        )?;
    }
    let mut table = screen::table(["sequence", "profile", "cells", "requests"]);
    for s in &c.sequences {
        let profile = s.profile.as_deref().map_or("–".into(), plain);
        table.add_row([s.sequence.to_string(), profile, number(s.cells), number(s.requests)]);
    }
    if c.sequences.is_empty() {
        writeln!(out, "    no sequence yet")?;
    } else {
        lines(out, table, &[0, 2, 3])?;
    }
    let mut table = screen::table(["rule", "profile", "strength", "layers", "tokens", "graphs", "rows", "rows/s"]);
    c.rules.iter().for_each(|r| {
        table.add_row(rule(r));
    });
    if c.rules.is_empty() { writeln!(out, "    no rules") } else { lines(out, table, &[2, 5, 6, 7]) }
}

fn rule(r: &Rule) -> [String; 8] {
    let rate = match (&r.counted.dropped, r.rows_per_second) {
        (Some(why), _) => format!("dropped: {}", plain(why)),
        (None, Some(rate)) => number(rate.round() as u64),
        (None, None) => "–".into(),
    };
    let layers = match r.counted.layers[..] {
        [] => "–".into(),
        [one] => one.to_string(),
        [first, .., last] if (last - first) as usize + 1 == r.counted.layers.len() => format!("{first}..{last}"),
        ref some => format!("{} of them", some.len()),
    };
    let strength = format!("{:.3}", r.counted.strength);
    [
        plain(&r.counted.name),
        plain(&r.counted.profile),
        strength,
        layers,
        plain(&r.counted.tokens),
        number(r.counted.graphs),
        number(r.counted.rows),
        rate,
    ]
}

fn lines(out: &mut String, mut table: Table, numbers: &[usize]) -> std::fmt::Result {
    let columns = table.column_iter_mut().enumerate().filter(|(i, _)| numbers.contains(i));
    columns.for_each(|(_, column)| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    table.lines().try_for_each(|line| writeln!(out, "   {}", line.trim_end()))
}

/// Names come from models and files: nothing of theirs may steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// With a thin space between thousands.
fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn times(n: u64) -> String {
    if n == 1 { "once".into() } else { format!("{} times", number(n)) }
}

fn ago(seconds: f64) -> String {
    match seconds as u64 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ages_and_names_are_readable() {
        assert_eq!(
            (number(7), number(1234), number(1_234_567)),
            ("7".into(), "1\u{202f}234".into(), "1\u{202f}234\u{202f}567".into())
        );
        assert_eq!((ago(3.9), ago(150.0), ago(8000.0)), ("3 s".into(), "2 min".into(), "2 h".into()));
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a·[2Jb·c");
    }
}
