//! A writer of small GGUF files, correct by default and wrong on demand.

/// Name, shape, ggml's element type, bytes.
pub type Tensor = (Vec<u8>, Vec<u64>, u32, Vec<u8>);

/// A GGUF file in the making.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    /// Overrides the number of tensors in the header.
    pub n_tensors: Option<u64>,
    /// Overrides the number of metadata keys in the header.
    pub n_keys: Option<u64>,
    /// Overrides all tensors' offsets.
    pub offset: Option<u64>,
    pub keys: Vec<Vec<u8>>,
    pub tensors: Vec<Tensor>,
}

pub const U32: u32 = 4;
pub const TEXT: u32 = 8;
pub const LIST: u32 = 9;

impl Gguf {
    pub fn new() -> Self {
        Self { magic: *b"GGUF", version: 3, n_tensors: None, n_keys: None, offset: None, keys: vec![], tensors: vec![] }
    }

    /// The beginning of a control vector.
    pub fn vector(hint: &str) -> Self {
        Self::new().text("general.architecture", "controlvector").text("controlvector.model_hint", hint)
    }

    /// The metadata of a model.
    pub fn model(arch: &str, n_embd: u32, n_layer: u32) -> Self {
        Self::new()
            .text("general.architecture", arch)
            .text("general.name", "A test model")
            .u32(&format!("{arch}.embedding_length"), n_embd)
            .u32(&format!("{arch}.block_count"), n_layer)
    }

    /// A key of any type with the bytes of its value.
    pub fn raw(mut self, key: impl AsRef<[u8]>, kind: u32, value: &[u8]) -> Self {
        self.keys.push([&string(key.as_ref())[..], &kind.to_le_bytes(), value].concat());
        self
    }

    pub fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, TEXT, &string(value.as_bytes()))
    }

    pub fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, U32, &value.to_le_bytes())
    }

    /// A list of texts.
    pub fn texts(self, key: &str, values: &[&str]) -> Self {
        let head = [&TEXT.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        let body: Vec<u8> = values.iter().flat_map(|v| string(v.as_bytes())).collect();
        self.raw(key, LIST, &[head, body].concat())
    }

    /// A tensor of any type and shape with its bytes.
    pub fn tensor(mut self, name: &str, shape: &[u64], kind: u32, data: &[u8]) -> Self {
        self.tensors.push((string(name.as_bytes()), shape.to_vec(), kind, data.to_vec()));
        self
    }

    /// The direction of one layer.
    pub fn direction(self, layer: u32, values: &[f32]) -> Self {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(&format!("direction.{layer}"), &[values.len() as u64], 0, &data)
    }

    pub fn build(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.n_tensors.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.n_keys.unwrap_or(self.keys.len() as u64).to_le_bytes());
        out.extend(self.keys.iter().flatten());
        let mut offset = 0u64;
        for (name, shape, kind, data) in &self.tensors {
            out.extend(name);
            out.extend((shape.len() as u32).to_le_bytes());
            out.extend(shape.iter().flat_map(|n| n.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(self.offset.unwrap_or(offset).to_le_bytes());
            offset += (data.len() as u64).next_multiple_of(32);
        }
        for (_, _, _, data) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(data);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out
    }
}

pub fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}
