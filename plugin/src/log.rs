//! Lines on standard error, by level. `EVENKEEL_LOG` chooses the level: `error`, `warn`, `info`, `debug` or `off`.

use std::{
    fmt,
    io::Write as _,
    sync::atomic::{AtomicU8, Ordering},
};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something that the user asked for does not happen.
    Error = 1,
    /// Something is not as it should be.
    Warn = 2,
    /// What is in force.
    Info = 3,
    /// Each llama.cpp that was found, what a context's first graph became, where vectors lie.
    Debug = 4,
}

/// The level while `EVENKEEL_LOG` is not set.
pub const DEFAULT: Level = Level::Info;

static LEVEL: AtomicU8 = AtomicU8::new(DEFAULT as u8);

/// Sets the level from the text of `EVENKEEL_LOG`. Returns false, and leaves the default, if it is none of the words.
pub fn set_level(text: &str) -> bool {
    let level = match text {
        "off" => 0,
        "error" => Level::Error as u8,
        "warn" => Level::Warn as u8,
        "info" => Level::Info as u8,
        "debug" => Level::Debug as u8,
        _ => return false,
    };
    LEVEL.store(level, Ordering::Relaxed);
    true
}

/// True if lines of `level` are written.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes one line per line of `message`. A closed standard error is no trouble.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    let word = match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info | Level::Debug => "",
    };
    let mut text = String::new();
    for line in message.to_string().lines() {
        text.push_str("evenkeel: ");
        text.push_str(word);
        text.push_str(line);
        text.push('\n');
    }
    // One write per message, so that lines of several threads do not mix.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Logs at [`Level::Error`].
macro_rules! error { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Error, format_args!($($arg)*)) } }
/// Logs at [`Level::Warn`].
macro_rules! warning { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Warn, format_args!($($arg)*)) } }
/// Logs at [`Level::Info`].
macro_rules! info { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Info, format_args!($($arg)*)) } }
/// Logs at [`Level::Debug`].
macro_rules! debug { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Debug, format_args!($($arg)*)) } }
pub(crate) use {debug, error, info, warning};
