//! Where the tensors of a model file lie.

use std::collections::BTreeMap;

/// A reader of numbers, front to back, of files that the tests wrote.
struct Reader<'a>(&'a [u8], usize);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.1 += N;
        self.0[self.1 - N..self.1].try_into().expect("as many bytes")
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> usize {
        u64::from_le_bytes(self.take()) as usize
    }

    fn text(&mut self) -> String {
        let n = self.u64();
        self.1 += n;
        String::from_utf8(self.0[self.1 - n..self.1].to_vec()).expect("a name")
    }

    fn skip(&mut self, kind: u32) {
        match kind {
            8 => drop(self.text()),
            9 => {
                let (kind, n) = (self.u32(), self.u64());
                (0..n).for_each(|_| self.skip(kind));
            }
            0 | 1 | 7 => self.1 += 1,
            2 | 3 => self.1 += 2,
            4..=6 => self.1 += 4,
            _ => self.1 += 8,
        }
    }
}

/// By name, where each tensor's data begin, and its shape.
pub fn tensors(bytes: &[u8]) -> BTreeMap<String, (usize, Vec<u64>)> {
    let mut reader = Reader(bytes, 8);
    let (n_tensors, n_keys) = (reader.u64(), reader.u64());
    for _ in 0..n_keys {
        reader.text();
        let kind = reader.u32();
        reader.skip(kind);
    }
    let mut found = BTreeMap::new();
    for _ in 0..n_tensors {
        let (name, dims) = (reader.text(), reader.u32());
        let shape = (0..dims).map(|_| reader.u64() as u64).collect();
        reader.u32();
        found.insert(name, (reader.u64(), shape));
    }
    let data = reader.1.next_multiple_of(32);
    found.into_iter().map(|(name, (at, shape))| (name, (data + at, shape))).collect()
}
