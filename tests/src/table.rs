//! The README's table of programs and ways in: every row is what a test saw, and the README must say the same.
//!
//! A test of each group [looks](Look) at its programs and ends with [`check`], which prints the rows. `BLESS=1` writes them into
//! the README instead.

use std::path::Path;
use std::{env, fs};

use serde_json::Value;

use crate::claim::nothing;
use crate::completion::Step;
use crate::{Profile, Recording, Scratch, Setting};

/// Where the README's table begins and ends.
const BEGIN: &str = "<!-- written by the tests: BLESS=1 make test-hosts -->\n";
const END: &str = "<!-- the end of what the tests wrote -->\n";
const HEAD: &str = "| program | way in | device | with nothing to do, as without the library | `add`, as the native control vector | steered, as on the CPU | run by |\n\
                    |---|---|---|---|---|---|---|\n";

/// What runs a program's test: the rows of one are written and checked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `tests/prebuilt`.
    Prebuilt,
    /// `tests/compiled`.
    Compiled,
    /// `tests/vulkan.rs`.
    Vulkan,
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The host's own CPU.
    Cpu,
    /// Two of ggml's RPC servers.
    Rpc,
    /// Vulkan, on Mesa's software device.
    Vulkan,
}

impl Device {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Rpc => "two RPC servers",
            Self::Vulkan => "Vulkan (software)",
        }
    }

    /// How far equal graphs may differ from each other, and from the CPU. None: not at all.
    fn tolerance(self) -> Option<f64> {
        match self {
            // The servers compute with the CPU's own kernels.
            Self::Cpu | Self::Rpc => None,
            Self::Vulkan => Some(1e-5),
        }
    }
}

/// What a program answers.
pub trait Answer {
    /// What is the same when two answers are.
    const WHOLE: &'static str;

    /// The largest difference; None if there is none at all.
    fn gap(&self, other: &Self) -> Option<f64>;
}

impl Answer for Recording {
    const WHOLE: &'static str = "every bit";

    fn gap(&self, other: &Self) -> Option<f64> {
        (self.rows != other.rows).then(|| f64::from(self.distance(other)))
    }
}

/// Log-probabilities of a llama-server.
impl Answer for Vec<Step> {
    const WHOLE: &'static str = "every digit";

    fn gap(&self, other: &Self) -> Option<f64> {
        (self != other).then_some(f64::INFINITY)
    }
}

/// Probabilities of every token, one list per row.
impl Answer for Vec<Vec<f64>> {
    const WHOLE: &'static str = "every digit";

    fn gap(&self, other: &Self) -> Option<f64> {
        let gaps = self.iter().flatten().zip(other.iter().flatten()).map(|(a, b)| (a - b).abs());
        (self != other).then(|| gaps.fold(0.0, f64::max))
    }
}

/// Text and log-probabilities of llama-cpp-python's server.
impl Answer for (String, Value) {
    const WHOLE: &'static str = "every digit";

    fn gap(&self, other: &Self) -> Option<f64> {
        (self != other).then_some(f64::INFINITY)
    }
}

/// One program, one way in, one device, and what is needed to look at them.
pub struct Look<'a, T> {
    /// For people.
    pub program: &'a str,
    /// As the README writes it.
    pub door: &'a str,
    /// What computes.
    pub device: Device,
    /// Has `v.gguf`, and takes the profiles.
    pub scratch: &'a Scratch,
    /// The program's answer without the library.
    pub plain: &'a T,
    /// Its answer under llama.cpp's own control vector, twice `v.gguf`.
    pub native: &'a T,
    /// The same program's answers on the CPU, without the library and steered, for other devices.
    pub on_cpu: Option<(&'a T, &'a T)>,
    /// Its answer with the library, under the profile that the setting names.
    pub with: &'a dyn Fn(&Setting) -> T,
}

/// A row of the table.
pub struct Row(String);

impl<T: Answer> Look<'_, T> {
    /// Runs the program with no profile, with each that steers nothing, and with one that adds the vector.
    ///
    /// # Panics
    /// When the native vector changes nothing, so that a comparison with it would say nothing.
    pub fn row(&self, group: Group) -> Row {
        assert!(self.plain.gap(self.native).is_some(), "{}: the native vector changes nothing", self.program);
        let mut settings = vec![Setting::new()];
        settings.extend(nothing().iter().map(|(_, profile)| self.scratch.profile(profile)));
        let gaps: Vec<Option<f64>> = settings.iter().map(|s| self.plain.gap(&(self.with)(s))).collect();
        // What steers nothing is the same graph, on any device.
        let unsteered = gaps.into_iter().flatten().reduce(f64::max).map_or(T::WHOLE.to_owned(), differs);
        let steered = (self.with)(&self.scratch.profile(&Profile::add("v.gguf", 2.0)));
        let native = self.said(self.native.gap(&steered));
        let cpu = self.on_cpu.map_or("–".to_owned(), |(plain, cpu)| {
            // Devices round otherwise than the CPU does: what they may differ by is what they differ by without the library.
            let (own, gap) = (plain.gap(self.plain), cpu.gap(&steered));
            println!("{}, {}: {:?} from the CPU, {own:?} without the library", self.program, self.door, gap);
            match (own, gap) {
                (_, None) => T::WHOLE.to_owned(),
                (Some(own), Some(gap)) if gap <= 2.0 * own => "as near as without it".to_owned(),
                (_, Some(gap)) => differs(gap),
            }
        });
        let command = if group == Group::Prebuilt { "make test" } else { "make test-hosts" };
        Row(format!(
            "| {} | {} | {} | {unsteered} | {native} | {cpu} | `{command}` |\n",
            self.program,
            self.door,
            self.device.name()
        ))
    }

    fn said(&self, gap: Option<f64>) -> String {
        match (gap, self.device.tolerance()) {
            // Whether it is less than that depends on the driver.
            (gap, Some(most)) if gap.unwrap_or(0.0) <= most => format!("to {most:e}"),
            (None, _) => T::WHOLE.to_owned(),
            (Some(gap), _) => differs(gap),
        }
    }
}

fn differs(gap: f64) -> String {
    format!("**differs by {gap:e}**")
}

/// Prints the rows of a group, and compares them with the README's.
///
/// # Panics
/// When the README says anything else.
pub fn check(group: Group, rows: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).expect("the README");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the table's beginning");
    let (table, after) = rest.split_once(END).expect("the README has the table's end");
    let old: Vec<&str> = table.split_inclusive('\n').skip(2).collect();
    let seen: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    print!("{HEAD}{}", seen.concat());
    if env::var_os("BLESS").is_some() {
        let of = |wanted: Group| if wanted == group { seen.clone() } else { only(wanted, &old) };
        let all = [Group::Prebuilt, Group::Compiled, Group::Vulkan].map(|g| of(g).concat()).concat();
        fs::write(&path, format!("{before}{BEGIN}{HEAD}{all}{END}{after}")).expect("the README is written");
        return;
    }
    assert!(table.starts_with(HEAD), "the head of the README's table");
    assert_eq!(only(group, &old), seen, "the README's rows and what was seen; BLESS=1 writes them");
}

fn only<'a>(group: Group, rows: &[&'a str]) -> Vec<&'a str> {
    let group_of = |row: &str| match () {
        () if row.contains("| `make test` |") => Group::Prebuilt,
        () if row.contains("| Vulkan") => Group::Vulkan,
        () => Group::Compiled,
    };
    rows.iter().copied().filter(|row| group_of(row) == group).collect()
}
