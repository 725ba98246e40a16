//! The contexts that are compared: all on the same weights, in one process.

use std::path::{Path, PathBuf};

use evenkeel_ffi::host::{Context, Outputs, Plugin, Token};
use evenkeel_model::ControlVector;

use crate::{failure::Failure, session::Session};

/// What a context runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Made before the plug-in was loaded.
    Plain,
    /// Made last, without a profile: what the machine makes of two equal things, one of which came later.
    PlainAgain,
    /// llama.cpp's own control vector.
    Native,
    /// A profile without a rule.
    Empty,
    /// A profile that adds the same vector as `Native`.
    Add,
    /// A profile that takes a direction out of every layer where a probe of that layer says so.
    Gated,
}

impl Case {
    /// All, in the order in which contexts are made.
    pub const ALL: [Case; 6] = [Case::Plain, Case::Empty, Case::Gated, Case::Native, Case::Add, Case::PlainAgain];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Case::Plain => "plain",
            Case::PlainAgain => "plain again",
            Case::Native => "native vector",
            Case::Empty => "empty profile",
            Case::Add => "add",
            Case::Gated => "project where a probe says so",
        }
    }
}

/// A context and how far it has come.
pub struct Contender {
    pub case: Case,
    context: Context,
    pos: usize,
}

/// The contexts, the plug-in that steers some of them, and the folder of its profiles.
pub struct Field {
    pub contenders: Vec<Contender>,
    pub plugin: Plugin,
    folder: PathBuf,
}

impl Drop for Field {
    fn drop(&mut self) {
        // What is left behind lies in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Field {
    /// Makes contexts for `n_ctx` tokens; `embedded`: as a program that contains llama.cpp would.
    pub fn new(session: &Session, n_ctx: usize, embedded: bool) -> Result<Field, Failure> {
        let model = &session.model;
        let layers = 1..model.n_layer() as u32;
        let hint = model.metadata("general.architecture").unwrap_or_default();
        // Small against the residual stream, so that the random model's numbers stay in range.
        let vector = ControlVector::random(&hint, model.n_embd() as u32, layers, 7).scaled(0.01);
        let folder = std::env::temp_dir().join(format!("evenkeel-bench-{}", std::process::id()));
        let profiles = write_profiles(&folder, &vector)
            .map_err(|e| Failure::new(format!("profiles cannot be written to {}: {e}", folder.display())))?;

        let make = |case| Ok::<_, Failure>(Contender { case, context: session.context(n_ctx)?, pos: 0 });
        // Only the first is made before the plug-in is loaded. Where a context's memory lies depends on when it was made,
        // and that alone is worth some percent: so those that are compared stand next to each other, and the last one,
        // plain again, shows what coming late costs.
        let mut contenders = vec![make(Case::Plain)?];
        let (plugin, embedded) = if embedded {
            let (plugin, embedded) = session.embedded()?;
            (plugin, Some(embedded))
        } else {
            (session.plugin()?, None)
        };
        for case in &Case::ALL[1..] {
            let profile = match case {
                Case::Empty => Some(&*profiles.empty),
                Case::Add => Some(&*profiles.add),
                Case::Gated => Some(&*profiles.gated),
                Case::Plain | Case::PlainAgain | Case::Native => None,
            };
            plugin.load_profile(profile)?;
            let mut contender = make(*case)?;
            if let Some(embedded) = embedded.filter(|_| profile.is_some()) {
                contender.context.attach(&plugin, embedded)?;
            }
            if *case == Case::Native {
                let values: Vec<f32> = vector.directions.values().flatten().copied().collect();
                contender.context.set_control_vector(Some(&values))?;
            }
            contenders.push(contender);
        }
        Ok(Field { contenders, plugin, folder })
    }

    /// The logits of the last row of a case, as bits.
    pub fn bits(&mut self, case: Case) -> Option<Vec<u32>> {
        let contender = self.contenders.iter_mut().find(|c| c.case == case)?;
        Some(contender.context.logits(-1)?.iter().map(|l| l.to_bits()).collect())
    }
}

impl Contender {
    /// Feeds tokens one by one, as generation does, and waits for each one's logits.
    pub fn decode(&mut self, tokens: &[Token]) -> Result<(), Failure> {
        for token in tokens {
            self.context.decode(&[*token], self.pos, 0, Outputs::Last)?;
            self.pos += 1;
            self.logits()?;
        }
        Ok(())
    }

    /// Feeds tokens as one prompt after forgetting everything.
    pub fn prefill(&mut self, tokens: &[Token]) -> Result<(), Failure> {
        self.context.clear();
        self.context.decode(tokens, 0, 0, Outputs::Last)?;
        self.pos = tokens.len();
        self.logits()
    }

    fn logits(&mut self) -> Result<(), Failure> {
        let row = self.context.logits(-1);
        row.map(|_| ()).ok_or_else(|| Failure::new("llama.cpp gave no logits"))
    }
}

struct Profiles {
    empty: PathBuf,
    add: PathBuf,
    gated: PathBuf,
}

fn write_profiles(folder: &Path, vector: &ControlVector) -> std::io::Result<Profiles> {
    std::fs::create_dir_all(folder)?;
    vector.write(&folder.join("add.gguf"))?;
    let profiles =
        Profiles { empty: folder.join("empty.toml"), add: folder.join("add.toml"), gated: folder.join("gated.toml") };
    std::fs::write(folder.join("probe.safetensors"), probe(vector))?;
    // As many rules as a profile may have.
    let rule = |layer: &u32| {
        format!(
            "\n[[steer]]\nname = \"layer-{layer}\"\ndirection = \"add.gguf\"\noperator = \"project\"\nlayers = {layer}\n\
             when = {{ probe = \"probe.safetensors\", layer = {layer}, above = 0.5 }}\n"
        )
    };
    let rules: String = vector.directions.keys().take(64).map(rule).collect();
    std::fs::write(&profiles.gated, format!("schema = 1\nname = \"gated\"\n{rules}"))?;
    std::fs::write(&profiles.empty, "schema = 1\nname = \"empty\"\n")?;
    let layers = match vector.directions.len() {
        1 => "[1]".to_owned(),
        n => format!("\"1..{n}\""),
    };
    let rule = format!(
        "schema = 1\nname = \"add\"\n\n[[steer]]\nname = \"random\"\ndirection = \"add.gguf\"\noperator = \"add\"\nlayers = {layers}\n"
    );
    std::fs::write(&profiles.add, rule)?;
    Ok(profiles)
}

/// A probe of every layer, along the vector: on random rows it says yes to about a half.
fn probe(vector: &ControlVector) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut put = |name: String, values: &[f32]| {
        let begin = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let (shape, offsets) = ([values.len()], [begin, data.len()]);
        header.insert(name, serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets }));
    };
    for (layer, direction) in &vector.directions {
        put(format!("probe.{layer}"), direction);
        put(format!("bias.{layer}"), &[0.0]);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
