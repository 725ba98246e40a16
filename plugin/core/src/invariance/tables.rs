//! The numbers that a graph is given about one region: which rows and keys are meant, and who sees what.
//!
//! The keys of a region lie in *slots*, a row of as many for each segment as the longest has tokens; those of shorter
//! segments that are left over are never seen. Rows of the micro-batch that share an order of the segments are a *group*:
//! the rows of one segment, or one row after the region. Rows that the region does not concern are together in the last.

use super::Region;

/// What a row of the micro-batch has to do with one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: another sequence's, or before the region.
    Nothing,
    /// It stands in a segment, or after the region, at this position of the host's.
    At(i32),
}

/// A row of a region that is neither in the micro-batch nor in the graph's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("position {0} of a region is not in this micro-batch")]
pub struct Stray(pub i32);

/// What the shape of a graph has to say about one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// Segments.
    pub n_segments: usize,
    /// Slots of each.
    pub stride: usize,
    /// Groups of rows: see [`Tables::groups`].
    pub n_groups: usize,
    /// Whether the region's own rows are in this micro-batch.
    pub fresh: bool,
}

impl Part {
    /// Of a region in a micro-batch of these rows.
    pub fn new(region: &Region, rows: &[Seen], fresh: bool) -> Part {
        let after = rows.iter().filter(|row| matches!(row, Seen::At(pos) if region.place(*pos).is_none())).count();
        let n_segments = region.lengths().len();
        let n_groups = if fresh { n_segments + after + 1 } else { rows.len() };
        Part { n_segments, stride: region.longest(), n_groups, fresh }
    }

    /// Slots of all segments.
    pub fn n_slots(&self) -> usize {
        self.n_segments * self.stride
    }
}

/// The values of a part's inputs, in ggml's order (fastest dimension first).
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// I32 `[n_slots]`: the row whose key stands in a slot. Only of a fresh region.
    pub rows: Vec<i32>,
    /// F32 `[n_slots, n_rows]`: 0 where a slot counts for a row's importance, else −∞.
    pub counts: Vec<f32>,
    /// F32 `[n_slots, n_segments]`: 1 / length where a slot is the segment's.
    pub member: Vec<f32>,
    /// F32 `[n_rows, n_groups]`: the mean over a group's rows. Only of a fresh region.
    pub pool: Vec<f32>,
    /// F32 `[n_segments, n_groups]`: 2 at a segment's own group, more than any importance. Only of a fresh region.
    pub own: Vec<f32>,
    /// I32 `[n_rows]`: a row's group. Only of a fresh region.
    pub groups: Vec<i32>,
    /// F32 `[n_segments, n_segments]`: −1 where the first index stands before the second, else 1.
    pub sign: Vec<f32>,
    /// F32 `[n_segments, n_segments, n_groups]`: the sign times the length of the first; 0 in groups without an order.
    pub weight: Vec<f32>,
    /// F32 `[1, n_segments, n_groups]`: the length of all that stand before; 0 in groups without an order.
    pub before: Vec<f32>,
    /// F32 `[n_slots, n_rows]`: 0 where a row sees a slot, else −∞.
    pub mask: Vec<f32>,
}

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
        let (k, stride, slots, n_rows) = (part.n_segments, part.stride, part.n_slots(), seen.len());
        let lengths = region.lengths();
        let filled = |slot: usize| slot % stride < lengths[slot / stride] as usize;
        let mut tables = Tables {
            rows: vec![],
            counts: vec![f32::NEG_INFINITY; slots * n_rows],
            member: vec![0.0; slots * k],
            pool: vec![],
            own: vec![],
            groups: vec![],
            sign: vec![1.0; k * k],
            weight: vec![0.0; k * k * part.n_groups],
            before: vec![0.0; k * part.n_groups],
            mask: vec![f32::NEG_INFINITY; slots * n_rows],
        };
        for slot in (0..slots).filter(|slot| filled(*slot)) {
            tables.member[slot + slots * (slot / stride)] = 1.0 / lengths[slot / stride] as f32;
        }
        for s in 0..k {
            (0..s).for_each(|t| tables.sign[t + k * s] = -1.0);
        }
        for (row, seen) in seen.iter().enumerate() {
            let place = match seen {
                Seen::Nothing => None,
                Seen::At(pos) => region.place(*pos),
            };
            for slot in (0..slots).filter(|slot| filled(*slot)) {
                let (segment, offset) = (slot / stride, (slot % stride) as u32);
                let at = slot + slots * row;
                // A row without an order counts everything: a softmax over nothing is no number.
                let own = place.is_some_and(|place| place.segment == segment);
                if !own || k == 1 {
                    tables.counts[at] = 0.0;
                }
                let sees = match (seen, place) {
                    (Seen::Nothing, _) => false,
                    (_, Some(place)) => segment != place.segment || offset <= place.offset,
                    (_, None) => true,
                };
                if sees {
                    tables.mask[at] = 0.0;
                }
            }
        }
        let ordered: Vec<usize> = if part.fresh {
            tables.gather(region, seen, part)?
        } else {
            (0..n_rows).filter(|row| seen[*row] != Seen::Nothing).collect()
        };
        for group in ordered {
            let mut sum = 0.0;
            for s in 0..k {
                tables.before[s + k * group] = sum;
                sum += lengths[s] as f32;
                for (t, length) in lengths.iter().enumerate() {
                    tables.weight[t + k * (s + k * group)] = tables.sign[t + k * s] * *length as f32;
                }
            }
        }
        Ok(tables)
    }

    /// What only a fresh region has. Returns the groups that have an order.
    fn gather(&mut self, region: &Region, seen: &[Seen], part: Part) -> Result<Vec<usize>, Stray> {
        let (k, stride, n_rows) = (part.n_segments, part.stride, seen.len());
        let mut found: Vec<Option<i32>> = vec![None; part.n_slots()];
        let (mut next, last) = (k, part.n_groups - 1);
        self.pool = vec![0.0; n_rows * part.n_groups];
        self.own = vec![0.0; k * part.n_groups];
        for (row, seen) in seen.iter().enumerate() {
            let group = match seen {
                Seen::Nothing => last,
                Seen::At(pos) => match region.place(*pos) {
                    Some(place) => {
                        found[place.segment * stride + place.offset as usize] = Some(row as i32);
                        self.pool[row + n_rows * place.segment] = 1.0 / region.lengths()[place.segment] as f32;
                        place.segment
                    }
                    None => {
                        self.pool[row + n_rows * next] = 1.0;
                        next += 1;
                        next - 1
                    }
                },
            };
            self.groups.push(group as i32);
        }
        (0..k).for_each(|s| self.own[s + k * s] = 2.0);
        for (segment, span) in region.spans().enumerate() {
            for (pos, slot) in (span.first..span.end).zip(&found[segment * stride..]) {
                slot.ok_or(Stray(pos))?;
            }
        }
        // Slots that are left over hold any row: they are never seen.
        self.rows = found.into_iter().map(|row| row.unwrap_or(0)).collect();
        Ok((0..last).collect())
    }
}

/// A row of the whole mask: the host's, without the cells of the row's own region, which stand in slots.
pub fn mask_row(host: &[f32], cells: &[u32], out: &mut [f32]) {
    out.copy_from_slice(host);
    for cell in cells {
        if let Some(value) = out.get_mut(*cell as usize) {
            *value = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    /// The order that the tables make of importances, as the graph computes it.
    fn shifts(tables: &Tables, importance: &[f32], group: usize) -> Vec<f32> {
        let k = importance.len();
        let shift = |s: usize| {
            let step = |t: usize| f32::from((importance[t] - importance[s]) * tables.sign[t + k * s] > 0.0);
            (0..k).map(|t| step(t) * tables.weight[t + k * (s + k * group)]).sum::<f32>() + tables.before[s + k * group]
        };
        (0..k).map(shift).collect()
    }

    fn region() -> Region {
        let spans = [(2, 4), (4, 5), (5, 8)].map(|(first, end)| Span { first, end });
        Region::new(&spans).unwrap()
    }

    #[test]
    fn shifts_are_those_of_a_stable_sort() {
        let given: [[f32; 3]; 5] =
            [[0.1, 0.5, 0.2], [0.3, 0.3, 0.3], [0.2, 0.1, 0.2], [0.3, 0.2, 0.1], [0.1, 0.2, 0.3]];
        let seen: Vec<Seen> = [Seen::Nothing; 2].into_iter().chain((2..9).map(Seen::At)).collect();
        let part = Part::new(&region(), &seen, true);
        assert_eq!(part, Part { n_segments: 3, stride: 3, n_groups: 5, fresh: true });
        let tables = Tables::new(&region(), &seen, part).unwrap();
        assert_eq!(tables.rows, [2, 3, 0, 4, 0, 0, 5, 6, 7]);
        assert_eq!(tables.groups, [4, 4, 0, 0, 1, 2, 2, 2, 3]);
        for importance in given {
            let mut order = [0, 1, 2];
            order.sort_by(|a: &usize, b: &usize| importance[*b].total_cmp(&importance[*a]));
            let mut expected = vec![0.0; 3];
            let mut sum = 0.0;
            for s in order {
                expected[s] = sum;
                sum += [2.0, 1.0, 3.0][s];
            }
            assert_eq!(shifts(&tables, &importance, 3), expected, "{importance:?}");
            assert_eq!(shifts(&tables, &importance, 4), [0.0; 3], "rows before the region");
        }
    }

    #[test]
    fn a_row_sees_what_it_should() {
        let seen =
            [Seen::Nothing, Seen::At(2), Seen::At(3), Seen::At(4), Seen::At(5), Seen::At(6), Seen::At(7), Seen::At(8)];
        let tables = Tables::new(&region(), &seen, Part::new(&region(), &seen, true)).unwrap();
        let open = |table: &[f32], row: usize| (0..9).filter(|slot| table[slot + 9 * row] == 0.0).collect::<Vec<_>>();
        assert_eq!(open(&tables.mask, 0), [] as [usize; 0]);
        assert_eq!(open(&tables.mask, 1), [0, 3, 6, 7, 8]);
        assert_eq!(open(&tables.mask, 5), [0, 1, 3, 6, 7]);
        assert_eq!(open(&tables.mask, 7), [0, 1, 3, 6, 7, 8]);
        assert_eq!(open(&tables.counts, 1), [3, 6, 7, 8]);
        assert_eq!(open(&tables.counts, 7), [0, 1, 3, 6, 7, 8]);
        // Nothing is no number.
        assert_eq!(open(&tables.counts, 0), [0, 1, 3, 6, 7, 8]);
    }

    #[test]
    fn a_region_must_be_whole() {
        let seen = [Seen::At(2), Seen::At(3), Seen::At(4), Seen::At(5), Seen::At(7)];
        assert_eq!(Tables::new(&region(), &seen, Part::new(&region(), &seen, true)), Err(Stray(6)));
    }
}
