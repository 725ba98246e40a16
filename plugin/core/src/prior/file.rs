//! A prior in a file: safetensors, as every calibration is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};

use super::{BANK, Prior};
use crate::asset::{Fitted, MAX_LABELS};
use crate::profile::Learning;

/// A file that has no prior which could go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A tensor is missing, or of another length.
    #[error("values of `{tensor}`, got {got}, allowed: {allowed}")]
    Length {
        /// The tensor.
        tensor: &'static str,
        /// Values that it has.
        got: usize,
        /// Values that it must have.
        allowed: usize,
    },
    /// A value that none can have.
    #[error("`{tensor}`, got {got} at {index}, allowed: {allowed}")]
    Value {
        /// The tensor.
        tensor: &'static str,
        /// Where.
        index: usize,
        /// The value.
        got: f32,
        /// What could stand there.
        allowed: &'static str,
    },
    /// Shares that do not sum to 1.
    #[error("the sum of `{tensor}`, got {got}, allowed: 1")]
    Sum {
        /// The tensor.
        tensor: &'static str,
        /// The sum.
        got: f64,
    },
}

impl Prior {
    /// Goes on where a file ended. Shares below `learning.min_prior` are raised to it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn restore(fitted: &Fitted, n: usize, learning: &Learning) -> Result<Self, StateError> {
        let tensor = |tensor: &'static str, allowed: usize| {
            let values = fitted.tensors.get(tensor).map_or(&[][..], Vec::as_slice);
            if values.len() == allowed {
                Ok(values)
            } else {
                Err(StateError::Length { tensor, got: values.len(), allowed })
            }
        };
        let (prior, means, counts) = (tensor("prior", n)?, tensor("means", n * n)?, tensor("counts", n + 1)?);
        let bad = |tensor, index, got, allowed| Err(StateError::Value { tensor, index, got, allowed });
        if let Some(i) = prior.iter().position(|p| *p < 1e-6 || *p > 1.0) {
            return bad("prior", i, prior[i], "from 0.000001 to 1");
        }
        if let Some(i) = means.iter().position(|m| !(0.0..=1.0).contains(m)) {
            return bad("means", i, means[i], "from 0 to 1");
        }
        let whole = |c: &f32| *c >= 0.0 && c.fract() == 0.0;
        if let Some(i) = counts.iter().position(|c| !whole(c)) {
            return bad("counts", i, counts[i], "whole numbers");
        }
        if let Some(i) = counts[..n].iter().position(|c| *c > BANK as f32) {
            return bad("counts", i, counts[i], "at most 20 requests of a label");
        }
        let distribution = |tensor, shares: &[f32]| {
            let sum: f64 = shares.iter().map(|s| f64::from(*s)).sum();
            if (sum - 1.0).abs() > 1e-3 {
                return Err(StateError::Sum { tensor, got: sum });
            }
            Ok(shares.iter().map(|s| f64::from(*s) / sum).collect::<Vec<f64>>())
        };
        let shares = super::at_least(distribution("prior", prior)?, f64::from(learning.min_prior));
        let means = means.chunks(n).map(|row| distribution("means", row)).collect::<Result<_, _>>()?;
        Ok(Self { seen: counts[n] as u64, counts: counts[..n].iter().map(|c| *c as u32).collect(), means, shares })
    }

    /// The bytes of a file from which it goes on; `model` and `labels` are compared then.
    pub fn bytes(&self, model: &str, labels: &[&str]) -> Vec<u8> {
        let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<f32>>();
        let counts: Vec<f32> = self.counts.iter().map(|c| *c as f32).chain([self.seen.min(1 << 24) as f32]).collect();
        let tensors = [("prior", narrow(&self.shares)), ("means", narrow(&self.means.concat())), ("counts", counts)];
        let bytes = tensors.map(|(name, values)| {
            (name, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
        });
        let views = bytes
            .iter()
            .filter_map(|(name, n, data)| TensorView::new(Dtype::F32, vec![*n], data).ok().map(|view| (*name, view)));
        let about = [
            ("evenkeel.method", "online".to_owned()),
            ("evenkeel.model", model.to_owned()),
            ("evenkeel.labels", serde_json::json!(labels).to_string()),
        ];
        let about = about.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        debug_assert!(labels.len() <= MAX_LABELS);
        serialize(views, Some(about)).unwrap_or_default()
    }
}

/// Puts `bytes` in place of a file, in one step; only its user can read it. What is there under that name, a link for
/// instance, is replaced and not followed.
///
/// # Errors
/// The system's; an earlier file stays then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    // What a process of this number left when it was killed.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_data()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::parse_calibration;

    fn learned() -> Prior {
        let mut prior = Prior::even(3);
        (0..50).for_each(|i| {
            prior.observe(if i % 3 == 0 { &[0.2, 0.5, 0.3] } else { &[0.7, 0.1, 0.2] }, &Learning::of(3));
        });
        prior
    }

    #[test]
    fn it_goes_on_where_it_ended() {
        let mut before = learned();
        let bytes = before.bytes("a model", &["a", "b", "c"]);
        let fitted = parse_calibration(&bytes).expect("a file");
        assert_eq!(fitted.labels.as_deref(), Some("[\"a\",\"b\",\"c\"]"));
        assert_eq!((fitted.model.as_deref(), fitted.method.as_deref()), (Some("a model"), Some("online")));
        let mut after = Prior::restore(&fitted, 3, &Learning::of(3)).expect("a prior");
        assert_eq!(after.seen(), 50);
        for prior in [&mut before, &mut after] {
            prior.observe(&[0.1, 0.1, 0.8], &Learning::of(3));
        }
        let gap = before.shares.iter().zip(&after.shares).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(gap < 1e-6, "{gap:e}");
    }

    #[test]
    fn what_cannot_go_on_is_refused() {
        let sound = parse_calibration(&learned().bytes("m", &["a", "b", "c"])).expect("a file");
        let mut wrong: Vec<(&str, Vec<f32>, &str)> = vec![
            ("prior", vec![0.0, 0.5, 0.5], "got 0 at 0"),
            ("prior", vec![0.5, 0.25, 0.3], "sum of `prior`"),
            ("prior", vec![0.5, 0.5], "got 2, allowed: 3"),
            ("counts", vec![1.0, 2.5, 3.0, 4.0], "got 2.5 at 1"),
            ("counts", vec![1.0, 2.0, 21.0, 4.0], "at most 20"),
            ("means", vec![0.5; 9], "sum of `means`"),
            ("means", vec![1.5; 9], "from 0 to 1"),
        ];
        for (name, values, says) in wrong.drain(..) {
            let mut fitted = sound.clone();
            fitted.tensors.insert(name.to_owned(), values);
            let error = Prior::restore(&fitted, 3, &Learning::of(3)).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_its_user_can_read_it_and_links_are_not_followed() {
        use std::os::unix::fs::{MetadataExt as _, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("state"), folder.path().join("other"));
        fs::write(&other, "mine").expect("a file");
        symlink(&other, &path).expect("a link");
        replace(&path, b"state").expect("a file");
        assert_eq!(fs::read(&path).expect("the state"), b"state");
        assert_eq!(fs::read(&other).expect("the other"), b"mine");
        let meta = fs::symlink_metadata(&path).expect("a file");
        assert!(meta.is_file() && meta.mode() & 0o777 == 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
        assert!(replace(&folder.path().join("nowhere/state"), b"x").is_err());
    }
}
