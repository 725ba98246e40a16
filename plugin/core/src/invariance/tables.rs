//! The numbers that a graph is given about one region: which rows and keys are meant, and who sees what.

use super::{
    Region,
    part::{Part, Seen, after},
};

/// A row of a region that is neither in the micro-batch nor in the graph's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("position {0} of a region is not in this micro-batch")]
pub struct Stray(pub i32);

/// The values of a part's inputs, in ggml's order (fastest dimension first).
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// F32 `[n_slots, n_segments]`: 1 / length where a slot is the segment's.
    pub member: Vec<f32>,
    /// F32 `[n_slots]`: 0 where a slot holds a token, else −∞.
    pub filled: Vec<f32>,
    /// F32 `[n_segments, n_segments]`: −1 where the first index stands before the second, else 1.
    pub sign: Vec<f32>,
    /// F32 `[n_segments, n_segments]`: the sign times the length of the first.
    pub weight: Vec<f32>,
    /// F32 `[n_segments]`: the length of all that stand before.
    pub before: Vec<f32>,
    /// What the region's own rows need, if they are in the micro-batch.
    pub own: Option<OwnTables>,
    /// I32 `[n_after]`: rows that stand after the region.
    pub after: Vec<i32>,
}

/// What the rows of segments need.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnTables {
    /// I32 `[longest, n_segments]`: the row of each token; of a shorter segment, its last again.
    pub rows: Vec<i32>,
    /// I32 `[n_slots]`: the row whose key stands in a slot; in one that is left over, the segment's last.
    pub keys: Vec<i32>,
    /// F32 `[n_slots, n_segments]`: 0 where a slot counts for the importance to a segment's tokens, else −∞.
    pub counts: Vec<f32>,
    /// F32 `[longest, n_segments]`: 1 / length of a segment for each of its rows, for a mean over them.
    pub mean: Vec<f32>,
    /// F32 `[n_segments, n_segments]`: 2 at a segment's own place, more than any importance.
    pub nearest: Vec<f32>,
    /// F16 `[n_seen, longest, n_segments]`: [`OPEN`] where a row sees a slot, else [`HIDDEN`].
    pub mask: Vec<u16>,
}

/// 0, as F16: a slot that is seen. The largest of all inputs, a region's mask, takes half of the memory so.
pub const OPEN: u16 = 0;
/// −∞, as F16: a slot that is not.
pub const HIDDEN: u16 = 0xfc00;

impl Tables {
    /// Of a region in a micro-batch.
    ///
    /// With importances `m` the shift of segment `s` is `Σ_t L_t [t before s]`, where `t` is before `s` if `m_t > m_s`, or if
    /// they are equal and `t` comes first in the input: `Σ_t σ_ts L_t step(σ_ts (m_t − m_s)) + Σ_{t<s} L_t` with
    /// `σ_ts = −1` for `t < s`, else 1.
    ///
    /// # Errors
    /// [`Stray`] if the region is fresh and one of its tokens is in no row.
    pub fn new(region: &Region, seen: &[Seen], part: Part) -> Result<Tables, Stray> {
        let (k, stride, slots) = (part.n_segments, part.stride, part.n_slots());
        let lengths = region.lengths();
        let mut tables = Tables {
            member: vec![0.0; slots * k],
            filled: vec![f32::NEG_INFINITY; slots],
            sign: vec![1.0; k * k],
            weight: vec![0.0; k * k],
            before: vec![0.0; k],
            own: None,
            after: after(region, seen).map(|row| row as i32).collect(),
        };
        let mut sum = 0.0;
        for (s, &length) in lengths.iter().enumerate() {
            for slot in s * stride..s * stride + length as usize {
                tables.member[slot + slots * s] = 1.0 / length as f32;
                tables.filled[slot] = 0.0;
            }
            tables.before[s] = sum;
            sum += length as f32;
            for (t, &other) in lengths.iter().enumerate() {
                let sign = if t < s { -1.0 } else { 1.0 };
                (tables.sign[t + k * s], tables.weight[t + k * s]) = (sign, sign * other as f32);
            }
        }
        if part.fresh {
            tables.own = Some(OwnTables::new(region, seen, part, &tables.filled)?);
        }
        Ok(tables)
    }
}

impl OwnTables {
    fn new(region: &Region, seen: &[Seen], part: Part, filled: &[f32]) -> Result<OwnTables, Stray> {
        let (k, stride, slots, width) = (part.n_segments, part.stride, part.n_slots(), part.n_seen());
        let longest = part.longest;
        let lengths = region.lengths();
        let mut found: Vec<Option<i32>> = vec![None; part.n_rows()];
        for (row, seen) in seen.iter().enumerate() {
            if let Seen::At(pos) = seen
                && let Some(place) = region.place(*pos)
            {
                found[place.segment * longest + place.offset as usize] = Some(row as i32);
            }
        }
        let mut own = OwnTables {
            rows: Vec::with_capacity(part.n_rows()),
            keys: Vec::with_capacity(slots),
            counts: vec![f32::NEG_INFINITY; slots * k],
            mean: vec![0.0; longest * k],
            nearest: vec![0.0; k * k],
            mask: vec![HIDDEN; width * part.n_rows()],
        };
        for (s, span) in region.spans().enumerate() {
            let (first, length) = (s * stride, lengths[s] as usize);
            // What is left over is as the last token is.
            let row = |offset: usize| {
                let at = offset.min(length - 1);
                found[s * longest + at].ok_or(Stray(span.first + at as i32))
            };
            for offset in 0..longest {
                own.rows.push(row(offset)?);
                let mask = &mut own.mask[(s * longest + offset) * width..][..width];
                let open = |(mask, filled): (&mut u16, &f32)| *mask = if *filled == 0.0 { OPEN } else { HIDDEN };
                mask.iter_mut().zip(filled).for_each(open);
                mask[first..first + stride].fill(HIDDEN);
                mask[first..=first + offset.min(length - 1)].fill(OPEN);
                mask[slots..][..part.n_before].fill(OPEN);
            }
            for offset in 0..stride {
                own.keys.push(row(offset)?);
            }
            own.mean[longest * s..][..length].fill(1.0 / length as f32);
            own.nearest[s + k * s] = 2.0;
            let counts = &mut own.counts[slots * s..][..slots];
            counts.copy_from_slice(filled);
            counts[first..first + stride].fill(f32::NEG_INFINITY);
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    /// The order that the tables make of importances, as the graph computes it.
    fn shifts(tables: &Tables, importance: &[f32]) -> Vec<f32> {
        let k = importance.len();
        let shift = |s: usize| {
            let step = |t: usize| f32::from((importance[t] - importance[s]) * tables.sign[t + k * s] > 0.0);
            (0..k).map(|t| step(t) * tables.weight[t + k * s]).sum::<f32>() + tables.before[s]
        };
        (0..k).map(shift).collect()
    }

    fn region() -> Region {
        let spans = [(2, 4), (4, 5), (5, 8)].map(|(first, end)| Span { first, end });
        Region::new(&spans).unwrap()
    }

    fn tables(seen: &[Seen]) -> Result<Tables, Stray> {
        Tables::new(&region(), seen, Part::new(&region(), seen, true))
    }

    #[test]
    fn shifts_are_those_of_a_stable_sort() {
        let given: [[f32; 3]; 5] =
            [[0.1, 0.5, 0.2], [0.3, 0.3, 0.3], [0.2, 0.1, 0.2], [0.3, 0.2, 0.1], [0.1, 0.2, 0.3]];
        let tables = Tables::new(&region(), &[], Part::new(&region(), &[], false)).unwrap();
        for importance in given {
            let mut order = [0, 1, 2];
            order.sort_by(|a: &usize, b: &usize| importance[*b].total_cmp(&importance[*a]));
            let mut expected = vec![0.0; 3];
            let mut sum = 0.0;
            for s in order {
                expected[s] = sum;
                sum += [2.0, 1.0, 3.0][s];
            }
            assert_eq!(shifts(&tables, &importance), expected, "{importance:?}");
        }
    }

    #[test]
    fn a_row_sees_what_it_should() {
        let seen: Vec<Seen> = [Seen::Nothing; 2].into_iter().chain((2..10).map(Seen::At)).collect();
        let tables = tables(&seen).unwrap();
        let own = tables.own.unwrap();
        assert_eq!(own.rows, [2, 3, 3, 4, 4, 4, 5, 6, 7]);
        assert_eq!((&own.keys[..3], &own.keys[16..18], own.keys.len()), (&[2, 3, 3][..], &[4, 4][..], 48));
        assert_eq!(tables.after, [8, 9]);
        // Sixteen slots for each segment, and for the two tokens before them.
        let open = |row: usize| (0..64).filter(|slot| own.mask[slot + 64 * row] == OPEN).collect::<Vec<_>>();
        assert_eq!(open(0), [0, 16, 32, 33, 34, 48, 49]);
        assert_eq!(open(1), [0, 1, 16, 32, 33, 34, 48, 49]);
        assert_eq!(open(2), open(1), "what is left over is as the last");
        assert_eq!(open(7), [0, 1, 16, 32, 33, 48, 49]);
        let counted = |s: usize| (0..48).filter(|slot| own.counts[slot + 48 * s] == 0.0).collect::<Vec<_>>();
        assert_eq!(counted(0), [16, 32, 33, 34]);
        assert_eq!(counted(2), [0, 1, 16]);
        assert_eq!((0..48).filter(|slot| tables.filled[*slot] == 0.0).collect::<Vec<_>>(), [0, 1, 16, 32, 33, 34]);
        assert_eq!(own.mean[..6], [0.5, 0.5, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_region_must_be_whole() {
        let seen = [Seen::At(2), Seen::At(3), Seen::At(4), Seen::At(5), Seen::At(7)];
        assert_eq!(tables(&seen), Err(Stray(6)));
    }
}
