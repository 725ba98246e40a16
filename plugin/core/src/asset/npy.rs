//! NumPy arrays, `.npy`: one direction `[width]`, or one per row `[rows, width]`; F16, F32 or F64, little-endian.
//!
//! Our own reader, and small: the published one (`npyz` 0.9) parses any Python literal that a header may hold, and what is
//! needed is the one dictionary of three keys that NumPy writes (NEP 1), read with a cap and without recursion.

use super::vectors::shown;
use super::{AssetError, half};

/// The first bytes of every such file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header that is read, in bytes; NumPy's own have some 120.
const MAX_HEADER: usize = 1 << 16;

/// An array of one or two dimensions.
pub(super) struct Array {
    /// `None` for one dimension.
    pub(super) rows: Option<usize>,
    pub(super) width: usize,
    /// Row after row.
    pub(super) values: Vec<f32>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Array, AssetError> {
    let bad = |why: &str| AssetError::Npy { why: shown(why) };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| bad("another beginning"))?;
    let (&[major, minor], rest) = rest.split_first_chunk().ok_or_else(|| bad("no version"))?;
    let (len, rest) = match major {
        1 => rest.split_first_chunk().map(|(n, rest)| (usize::from(u16::from_le_bytes(*n)), rest)),
        2 | 3 => rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        _ => return Err(bad(&format!("version {major}.{minor}"))),
    }
    .ok_or_else(|| bad("no header"))?;
    if len > MAX_HEADER {
        return Err(bad(&format!("a header of {len} bytes (at most {MAX_HEADER})")));
    }
    let (header, data) = rest.split_at_checked(len).ok_or_else(|| bad("a header longer than the file"))?;
    let header = std::str::from_utf8(header).map_err(|_| bad("a header that is no text"))?;
    let Header { descr, fortran, shape } = Header::parse(header).map_err(|why| bad(&format!("a header with {why}")))?;
    let (rows, width) = match shape[..] {
        [width] => (None, width),
        [rows, width] => (Some(rows), width),
        _ => {
            let got = shape.iter().map(|n| *n as u64).collect();
            return Err(AssetError::TensorShape { tensor: "array".into(), got, allowed: "[width] or [rows, width]" });
        }
    };
    let size = match descr {
        "<f2" => 2,
        "<f4" => 4,
        "<f8" => 8,
        _ => {
            let (tensor, got) = ("array".to_owned(), shown(descr));
            return Err(AssetError::TensorType { tensor, got, allowed: "<f2, <f4, <f8 (little-endian floats)" });
        }
    };
    let count = rows.unwrap_or(1).checked_mul(width);
    if count.and_then(|n| n.checked_mul(size)) != Some(data.len()) {
        return Err(bad(&format!("{} bytes of data for a shape of {shape:?}", data.len())));
    }
    let values: Vec<f32> = match size {
        2 => data.as_chunks().0.iter().map(|b| half::f16(u16::from_le_bytes(*b))).collect(),
        4 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        // What F32 cannot hold becomes infinite, and is refused as such.
        _ => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
    };
    let values = match rows {
        Some(rows) if fortran => (0..rows * width).map(|i| values[i / width + i % width * rows]).collect(),
        _ => values,
    };
    Ok(Array { rows, width, values })
}

struct Header<'a> {
    descr: &'a str,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order, with any white space.
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        let inner = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or("no dictionary")?;
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        let mut rest = inner.trim_start();
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or("a key that is no text")?;
            let value = after.trim_start().strip_prefix(':').ok_or("a key without a value")?.trim_start();
            rest = match key {
                "descr" if descr.is_none() => {
                    let (found, rest) = quoted(value).ok_or("a structured type")?;
                    descr = Some(found);
                    rest
                }
                "fortran_order" if fortran.is_none() => {
                    let found = value.strip_prefix("True").map(|rest| (true, rest));
                    let found = found.or_else(|| value.strip_prefix("False").map(|rest| (false, rest)));
                    let (found, rest) = found.ok_or("a fortran_order that is neither True nor False")?;
                    fortran = Some(found);
                    rest
                }
                "shape" if shape.is_none() => {
                    let (inside, rest) =
                        value.strip_prefix('(').and_then(|v| v.split_once(')')).ok_or("a shape that is no tuple")?;
                    let numbers = inside.split(',').map(str::trim).filter(|n| !n.is_empty());
                    // An empty tuple, or one without numbers, has another number of dimensions, which is refused later.
                    shape =
                        Some(numbers.map(str::parse).collect::<Result<_, _>>().map_err(|_| "a shape of no numbers")?);
                    rest
                }
                _ => return Err("a key that is unknown, or there twice"),
            };
            rest = rest.trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more.trim_start(),
                None if rest.is_empty() => {}
                None => return Err("something behind a value"),
            }
        }
        let (descr, fortran) = (descr.ok_or("no descr")?, fortran.ok_or("no fortran_order")?);
        Ok(Self { descr, fortran, shape: shape.ok_or("no shape")? })
    }
}

/// A text in quotes without any of them inside, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let len = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &len, header.as_bytes(), data].concat()
    }

    fn f32s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn what_numpy_writes_is_read() {
        let data = f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let array = parse(&file("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", &data)).unwrap();
        assert_eq!((array.rows, array.width, &array.values[..3]), (Some(2), 3, &[1.0, 2.0, 3.0][..]));
        let array = parse(&file("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", &data)).unwrap();
        assert_eq!(array.values, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let array = parse(&file("{\"shape\":(6,),\"fortran_order\":False,\"descr\":\"<f4\"}", &data)).unwrap();
        assert_eq!((array.rows, array.width), (None, 6));
        let wide: Vec<u8> = [0.5f64, 1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
        let array = parse(&file("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", &wide)).unwrap();
        assert_eq!(array.values, [0.5, f32::INFINITY]);
    }

    #[test]
    fn what_it_does_not_write_is_refused() {
        let whole = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
        assert!(parse(&file(whole, &[0; 4])).is_ok());
        for (from, to) in [
            ("'<f4'", "'>f4'"),
            ("'<f4'", "'|O'"),
            ("'<f4'", "[('a', '<f4')]"),
            ("False", "No"),
            ("(1,)", "(2,)"),
            ("(1,)", "()"),
            ("(1,)", "(1, 1, 1)"),
            ("(1,)", "(-1,)"),
            ("(1,)", "(18446744073709551615, 18446744073709551615)"),
            ("(1,)", "(1"),
            ("'shape'", "'descr'"),
            ("'shape'", "'more'"),
            ("'shape': (1,), ", ""),
            (", }", "} }"),
            ("{'descr'", "('descr'"),
            ("'shape':", "'shape'"),
        ] {
            assert!(whole.contains(from), "{from}");
            assert!(parse(&file(&whole.replacen(from, to, 1), &[0; 4])).is_err(), "{from} as {to}");
        }
        let good = file(whole, &[0; 4]);
        for cut in 0..good.len() {
            assert!(parse(&good[..cut]).is_err(), "{cut} bytes");
        }
        assert!(parse(&[&good[..6], &[9, 0], &good[8..]].concat()).is_err());
        assert!(parse(&[&good[..6], &[2, 0, 0xFF, 0xFF, 0xFF, 0xFF], &good[10..]].concat()).is_err());
    }
}
