//! A model in a llama.cpp, and the plug-in beside it.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
};

use evenkeel_ffi::host::{Context, ContextOptions, Embedded, Llama, LogLevel, Model, ModelOptions, Plugin};

use crate::{args::HostChoice, failure::Failure, locate, screen};

/// A loaded model. The plug-in is loaded by [`Session::plugin`], so that contexts made before it are plain.
pub struct Session {
    pub llama: Llama,
    pub model: Model,
    plugin: PathBuf,
    choice: HostChoice,
}

/// Parameters below which one thread is faster than several.
const SMALL: u64 = 20_000_000;

/// Variables that would steer contexts which have to be plain.
const OURS: [&str; 5] = ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE", "EVENKEEL_STATS"];

/// Starts this command again without the plug-in's variables, if some are set: a plain run beside a steered one must be
/// plain. Unless asked for, the plug-in keeps its messages to warnings, as the result says the rest.
pub fn start_clean(choice: &HostChoice) -> Result<(), Failure> {
    let set = |name: &&str| std::env::var(name).is_ok_and(|v| name.starts_with("EVENKEEL") || v.contains("evenkeel"));
    let found: Vec<&str> = OURS.into_iter().filter(|n| set(n)).collect();
    let quiet = choice.verbose == 0 && std::env::var_os("EVENKEEL_LOG").is_none();
    if found.is_empty() && !quiet {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(Failure::new)?;
    let mut again = std::process::Command::new(program);
    let mut typed = std::env::args_os();
    // Messages name the program as it was typed.
    typed.next().into_iter().for_each(|name| {
        again.arg0(name);
    });
    again.args(typed);
    found.iter().for_each(|name| {
        again.env_remove(name);
    });
    if quiet {
        again.env("EVENKEEL_LOG", "warn");
    }
    Err(Failure::new(format!("cannot start again with a clean environment: {}", again.exec())))
}

impl Session {
    /// Opens llama.cpp and loads the model.
    pub fn open(choice: &HostChoice, model: &Path) -> Result<Session, Failure> {
        check_model_file(model)?;
        // Only found here: that it is missing should be told before minutes of work.
        let plugin = locate::plugin(&choice.plugin)?;
        let path = locate::llama(&choice.llama)?;
        let llama = Llama::open(&path)?;
        llama.show_log(match choice.verbose {
            0 => LogLevel::Silent,
            1 => LogLevel::Info,
            _ => LogLevel::Debug,
        });
        let wait = screen::spinner(format!("loading {}", model.display()));
        let gpu_layers = choice.gpu_layers.map(|n| n as i32);
        let loaded = Model::load(&llama, model, ModelOptions { gpu_layers });
        wait.finish_and_clear();
        Ok(Session { llama, model: loaded?, plugin, choice: choice.clone() })
    }

    /// The options of a context for `n_ctx` tokens.
    pub fn options(&self, n_ctx: usize) -> ContextOptions {
        let defaults = ContextOptions::default();
        // Threads wait for each other at every node: in a small model that is all they do.
        let all = if self.model.n_params() < SMALL { 1 } else { defaults.threads };
        let threads = self.choice.threads.map_or(all, |t| t as i32);
        let n_ctx = u32::try_from(n_ctx).unwrap_or(u32::MAX).next_multiple_of(256);
        ContextOptions { n_ctx, threads, ..defaults }
    }

    /// A context for `n_ctx` tokens.
    pub fn context(&self, n_ctx: usize) -> Result<Context, Failure> {
        Ok(Context::new(&self.model, &self.options(n_ctx))?)
    }

    /// Loads the plug-in and hands llama.cpp's functions over; nothing is hooked.
    pub fn embedded(&self) -> Result<(Plugin, Embedded), Failure> {
        let plugin = Plugin::load(&self.plugin)?;
        let embedded = plugin.embed(&self.llama)?;
        Ok((plugin, embedded))
    }

    /// Loads the plug-in and hooks llama.cpp. Contexts made before stay as they are.
    pub fn plugin(&self) -> Result<Plugin, Failure> {
        let plugin = Plugin::load(&self.plugin)?;
        plugin.install().map_err(|e| {
            Failure::from(e).todo(format!("`evenkeel doctor {}` tells what is wrong", self.llama.path().display()))
        })?;
        Ok(plugin)
    }
}

/// The absolute path of a profile, or a message for those who named something else.
pub fn profile_path(path: &Path) -> Result<PathBuf, Failure> {
    let missing = |e| Failure::usage(format!("profile {}: {e}", path.display()));
    let path = path.canonicalize().map_err(missing)?;
    if path.is_dir() {
        return Err(Failure::usage(format!("profile {}: is a folder", path.display())).todo("name one TOML file"));
    }
    Ok(path)
}

/// A profile without what chooses among several: a `[requests]` table names others, which are not loaded here, and a profile that
/// only a route leads to would not act. Written below `folder` if there is anything to leave out.
///
/// # Errors
/// A file that cannot be read or written.
pub fn alone(path: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let bad = |e: &dyn std::fmt::Display| Failure::usage(format!("profile {}: {e}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| bad(&e))?;
    let mut table: toml::Table = text.parse().map_err(|e| bad(&e))?;
    let several = [table.remove("requests"), table.remove("route")];
    if several.iter().all(Option::is_none) {
        return Ok(path.to_owned());
    }
    let home = path.parent().unwrap_or(Path::new("."));
    // It takes its name from its file, and its files from where it was.
    let runtime = table.entry("runtime").or_insert_with(|| toml::Table::new().into());
    if let Some(runtime) = runtime.as_table_mut() {
        let given = runtime.get("asset-dirs").and_then(toml::Value::as_array).into_iter().flatten();
        let given = given.filter_map(toml::Value::as_str).map(|dir| home.join(dir));
        let all = std::iter::once(home.to_owned()).chain(given);
        let all: Vec<toml::Value> = all.map(|dir| dir.to_string_lossy().into_owned().into()).collect();
        runtime.insert("asset-dirs".into(), all.into());
    }
    let copy = folder.join(path.file_name().unwrap_or_default());
    std::fs::write(&copy, toml::to_string(&table).map_err(Failure::new)?).map_err(|e| bad(&e))?;
    Ok(copy)
}

/// Tells what is wrong with a file that is no model, before llama.cpp does so at length.
pub fn check_model_file(path: &Path) -> Result<(), Failure> {
    use std::io::Read;
    let say = |what: &str| Failure::usage(format!("model {}: {what}", path.display()));
    let meta = std::fs::metadata(path).map_err(|e| say(&e.to_string()))?;
    if !meta.is_file() {
        return Err(say("is no file").todo("name a GGUF file"));
    }
    let mut magic = [0u8; 4];
    let read = std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut magic));
    read.map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            say("is too short for a model").todo("was it fetched or copied to its end?")
        }
        _ => say(&e.to_string()),
    })?;
    match &magic {
        b"GGUF" => Ok(()),
        b"PK\x03\x04" => {
            Err(say("is a PyTorch or zip file, not GGUF").todo("convert it with llama.cpp's convert_hf_to_gguf.py"))
        }
        _ if path.extension().is_some_and(|e| e == "safetensors") => {
            Err(say("is a safetensors file, not GGUF").todo("convert it with llama.cpp's convert_hf_to_gguf.py"))
        }
        b"vers" => Err(say("is a Git LFS pointer, not the model itself").todo("fetch it with `git lfs pull`")),
        _ => Err(say("does not start with GGUF")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_by_itself_leaves_out_what_chooses_among_several() {
        let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = home.path().join("judge.toml");
        let text = "schema = 1\n[[steer]]\nname = \"v\"\ndirection = \"v.gguf\"\n";
        std::fs::write(&path, text).unwrap();
        assert_eq!(alone(&path, folder.path()).unwrap(), path, "there is nothing to leave out");
        let more = "[[route]]\ntext = \"You are a judge.\"\n[requests]\nchoose = [\"other\"]\n[runtime]\nasset-dirs = [\"more\"]\n";
        std::fs::write(&path, format!("{text}{more}")).unwrap();
        let copy = alone(&path, folder.path()).unwrap();
        assert_eq!(copy, folder.path().join("judge.toml"));
        let table: toml::Table = std::fs::read_to_string(&copy).unwrap().parse().unwrap();
        assert!(!table.contains_key("requests") && !table.contains_key("route") && table.contains_key("steer"));
        let dirs: Vec<&str> =
            table["runtime"]["asset-dirs"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(dirs, [home.path().to_str().unwrap(), home.path().join("more").to_str().unwrap()]);
        std::fs::write(&path, "schema = ").unwrap();
        assert!(alone(&path, folder.path()).unwrap_err().to_string().contains("judge.toml"));
    }
}
