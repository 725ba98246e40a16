//! The F32 tensors and the metadata of a GGUF file that a test wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The tensors by name, widened, with their extents (fastest first), and the numbers of the metadata.
pub struct Weights {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    numbers: BTreeMap<String, f64>,
    texts: BTreeMap<String, String>,
    /// `general.architecture`.
    pub arch: String,
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at(N);
        self.0 = rest;
        head.try_into().expect("as many bytes as asked for")
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn length(&mut self) -> usize {
        usize::try_from(u64::from_le_bytes(self.take())).expect("a length fits")
    }

    fn text(&mut self) -> String {
        let length = self.length();
        let (head, rest) = self.0.split_at(length);
        let text = String::from_utf8_lossy(head).into_owned();
        self.0 = rest;
        text
    }

    /// A value: as a number if it is one, as text if it is one.
    fn value(&mut self, kind: u32) -> (Option<f64>, Option<String>) {
        match kind {
            0 | 1 | 7 => (Some(f64::from(self.take::<1>()[0])), None),
            2 | 3 => (Some(f64::from(u16::from_le_bytes(self.take()))), None),
            4 | 5 => (Some(f64::from(self.u32())), None),
            6 => (Some(f64::from(f32::from_le_bytes(self.take()))), None),
            8 => (None, Some(self.text())),
            9 => {
                let (kind, n) = (self.u32(), self.length());
                (0..n).for_each(|_| drop(self.value(kind)));
                (None, None)
            }
            10..=12 => (Some(self.length() as f64), None),
            _ => panic!("a type of value that no test writes: {kind}"),
        }
    }
}

impl Weights {
    /// Reads a file.
    ///
    /// # Panics
    /// When it is not what the tests write.
    pub fn read(path: &Path) -> Self {
        let file = fs::read(path).expect("the model can be read");
        let mut bytes = Bytes(&file);
        assert_eq!(&bytes.take::<4>(), b"GGUF");
        assert_eq!(bytes.u32(), 3, "version");
        let (n_tensors, n_values) = (bytes.length(), bytes.length());
        let (mut numbers, mut texts) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..n_values {
            let (key, kind) = (bytes.text(), bytes.u32());
            match bytes.value(kind) {
                (Some(number), _) => drop(numbers.insert(key, number)),
                (None, Some(text)) => drop(texts.insert(key, text)),
                _ => {}
            }
        }
        let mut entries = Vec::new();
        for _ in 0..n_tensors {
            let (name, n_dims) = (bytes.text(), bytes.u32());
            let shape: Vec<usize> = (0..n_dims).map(|_| bytes.length()).collect();
            assert_eq!(bytes.u32(), 0, "{name} is F32");
            entries.push((name, shape, bytes.length()));
        }
        let data = (file.len() - bytes.0.len()).next_multiple_of(32);
        let tensor = |(name, shape, offset): (String, Vec<usize>, usize)| {
            let n: usize = shape.iter().product();
            let values = file[data + offset..][..4 * n].chunks_exact(4);
            let wide = values.map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("four bytes")))).collect();
            (name, (shape, wide))
        };
        let tensors = entries.into_iter().map(tensor).collect();
        let arch = texts["general.architecture"].clone();
        Self { tensors, numbers, texts, arch }
    }

    /// A hyperparameter, its key without the architecture.
    ///
    /// # Panics
    /// When the file has none of that name.
    pub fn number(&self, key: &str) -> f64 {
        self.find(key).unwrap_or_else(|| panic!("no {}.{key}", self.arch))
    }

    /// A hyperparameter that a file need not have.
    pub fn find(&self, key: &str) -> Option<f64> {
        self.numbers.get(&format!("{}.{key}", self.arch)).copied()
    }

    /// A hyperparameter that is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(&format!("{}.{key}", self.arch)).map(String::as_str)
    }

    /// Dimensions of a head.
    pub fn head(&self) -> usize {
        let whole = || self.number("embedding_length") / self.number("attention.head_count");
        self.find("attention.key_length").unwrap_or_else(whole) as usize
    }

    /// A vector, or `None` if the file has none of that name.
    pub fn vector(&self, name: &str) -> Option<&[f64]> {
        self.tensors.get(name).map(|(_, values)| values.as_slice())
    }

    /// A row of a matrix.
    ///
    /// # Panics
    /// When the file has no such matrix.
    pub fn row(&self, name: &str, row: usize) -> &[f64] {
        let (shape, values) = &self.tensors[name];
        &values[row * shape[0]..][..shape[0]]
    }

    /// A matrix times a vector.
    ///
    /// # Panics
    /// When the file has no such matrix.
    pub fn times(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (shape, values) = &self.tensors[name];
        assert_eq!(shape[0], x.len(), "{name}");
        values.chunks_exact(shape[0]).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    }

    /// One of several matrices of a tensor, times a vector.
    ///
    /// # Panics
    /// When the file has no such tensor.
    pub fn times_one(&self, name: &str, index: usize, x: &[f64]) -> Vec<f64> {
        let (shape, values) = &self.tensors[name];
        assert_eq!(shape[0], x.len(), "{name}");
        let one = &values[index * shape[0] * shape[1]..][..shape[0] * shape[1]];
        one.chunks_exact(shape[0]).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    }
}
