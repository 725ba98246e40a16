//! Terminals: tables, bars, progress. Colours appear on a terminal only and honour `NO_COLOR` (anstream strips them
//! elsewhere).

use std::{borrow::Cow, io::Write as _, time::Duration};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Ends the program in order when standard output cannot be written to: without a word where the reader went away
/// (`| head`), with one where the disk is full. `println!` panics there.
pub fn end_with_standard_output() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        match text.strip_prefix("failed printing to stdout: ") {
            Some(why) if why.starts_with("Broken pipe") => std::process::exit(141),
            Some(why) => {
                let _ = writeln!(std::io::stderr(), "error: standard output cannot be written to: {why}");
                std::process::exit(1)
            }
            None => report(panic),
        }
    }));
}

/// Prints one JSON object.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("this result has no JSON form: {error}"),
    }
}

/// A table without frame, as wide as the terminal allows.
pub fn table<I>(header: I) -> Table
where
    I: IntoIterator,
    I::Item: Into<comfy_table::Cell>,
{
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(110);
    }
    table.set_header(header.into_iter().map(Into::into).collect::<Vec<comfy_table::Cell>>());
    table
}

/// Prints a table, indented by two.
pub fn print(table: &Table) {
    for line in table.lines() {
        anstream::println!(" {}", line.trim_end());
    }
}

/// Puts `text` in place of what the terminal shows, without flicker. What has no room is counted in the last line.
pub fn redraw(text: &str) {
    let rows = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(24, |size| usize::from(size.ws_row)).max(2);
    let lines: Vec<&str> = text.lines().collect();
    // The last row stays free: a line that ends there would scroll.
    let room = if lines.len() < rows { lines.len() } else { rows - 2 };
    // Without wrapping: a long line would take two rows.
    let mut frame = String::from("\x1b[H\x1b[?7l");
    for line in &lines[..room] {
        frame.push_str(line);
        frame.push_str("\x1b[K\n");
    }
    if room < lines.len() {
        frame.push_str(&format!("… {} lines more: name a process, or use --once\x1b[K\n", lines.len() - room));
    }
    frame.push_str("\x1b[J\x1b[?7h");
    anstream::print!("{frame}");
    let _ = std::io::stdout().flush();
}

/// The width of the bars in a table that would like them `wanted` wide: none where the terminal has no room for them.
pub fn bar_width(table: &Table, wanted: usize) -> usize {
    if table.width().is_some_and(|columns| columns < 80) { 0 } else { wanted }
}

/// A bar of `width` cells filled by `fraction` (0 to 1), in eighths of a cell.
pub fn bar(fraction: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (fraction.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let text = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    let used = text.chars().count();
    text + &" ".repeat(width - used)
}

/// A progress bar on standard error that appears when the work takes longer than a moment. Nothing is drawn off a
/// terminal.
pub fn progress(length: u64, what: impl Into<Cow<'static, str>>) -> ProgressBar {
    let template = "{msg:24} {bar:36.cyan} {percent:>3}%  {elapsed} of about {duration}";
    styled(ProgressBar::new(length), template, what)
}

/// The same for bytes.
pub fn progress_bytes(length: u64, what: impl Into<Cow<'static, str>>) -> ProgressBar {
    styled(ProgressBar::new(length), "{msg:24} {bar:36.cyan} {bytes} of {total_bytes}", what)
}

/// A spinner for work of unknown length.
pub fn spinner(what: impl Into<Cow<'static, str>>) -> ProgressBar {
    styled(ProgressBar::new_spinner(), "{spinner} {msg}", what)
}

fn styled(bar: ProgressBar, template: &str, what: impl Into<Cow<'static, str>>) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━╸ "));
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A text's control characters and ends made visible, for single tokens.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_the_width_that_was_asked_for() {
        for fraction in [0.0, 0.01, 0.33, 0.5, 0.999, 1.0, 7.0] {
            assert_eq!(bar(fraction, 10).chars().count(), 10, "{fraction}");
        }
        assert_eq!(bar(0.5, 4), "██  ");
    }
}
