//! Greedy farthest-point selection (Roth et al., arXiv 2106.08265, algorithm 1): few patches, so that every patch is near to one of
//! them.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use detector::{Error, Result};
use rayon::prelude::*;

/// Rows that one task handles; results do not depend on it.
const TASK: usize = 1024;
/// Rows that are read from a file at once.
const PIECE: usize = 1 << 16;
/// Triangle-inequality skips must survive rounding: distances are squared sums of at most some thousand terms in single precision.
const MARGIN: f32 = 1.001;

/// Projected patches, `[len, dims]` row-major.
pub struct Points {
    /// Where they are.
    pub values: Values,
    /// Number of patches.
    pub len: usize,
    /// Values of one patch.
    pub dims: usize,
}

/// Where projected patches are.
pub enum Values {
    /// In memory.
    Memory(Vec<f32>),
    /// In this file of little-endian f32, which is read once for every pick. The path is for messages.
    File(File, PathBuf),
}

/// State of one point.
#[derive(Clone, Copy)]
struct Nearest {
    /// Squared distance to the nearest pick; [`LEFT_OUT`] for a point that is no candidate.
    squared: f32,
    /// Which pick that is.
    pick: u32,
}

/// Less than every distance: such a point is never the farthest one, and no pick is nearer to it.
const LEFT_OUT: f32 = f32::NEG_INFINITY;

/// A selection of points, which can go on.
pub struct Coreset<'a> {
    points: &'a Points,
    /// Indices in the order of picking.
    chosen: Vec<usize>,
    nearest: Vec<Nearest>,
}

impl<'a> Coreset<'a> {
    /// Nothing is chosen yet.
    pub fn new(points: &'a Points) -> Coreset<'a> {
        Coreset { points, chosen: Vec::new(), nearest: vec![Nearest { squared: f32::INFINITY, pick: 0 }; points.len] }
    }

    /// Indices of the chosen points in the order of picking.
    pub fn chosen(&self) -> &[usize] {
        &self.chosen
    }

    /// Picks points until `picks` are chosen; the first one of all is `first`. Each next pick is the point that is farthest from all picks
    /// so far; of equally far points it is the first. `go_on` is called after every pick with the number of picks; the selection stops
    /// when it returns false. Gives whether it did not stop.
    ///
    /// A point's distance to a new pick is not computed where the triangle inequality already says that it is no nearer (Elkan, ICML
    /// 2003).
    ///
    /// # Errors
    /// When there are fewer candidates than picks or the file cannot be read.
    pub fn grow(&mut self, picks: usize, first: usize, go_on: &mut dyn FnMut(usize) -> bool) -> Result<bool> {
        let Points { dims, len, .. } = *self.points;
        let candidates = self.nearest.iter().filter(|state| state.squared != LEFT_OUT).count();
        if picks == 0 || picks > candidates || first >= len {
            return Err(Error::invalid(format!(
                "the memory bank is to hold {picks} patches, but the good images have only {candidates}: add images or lower \
                 bank.vectors"
            )));
        }
        let mut centres = self.points.rows(&self.chosen)?;
        let mut next = if self.chosen.is_empty() { first } else { self.farthest() };
        let mut buffer = Vec::new();
        while self.chosen.len() < picks {
            let centre = self.points.row(next)?;
            // A point keeps its pick when the new one is at least twice as far from that pick as the point is.
            let keeps: Vec<f32> =
                centres.par_chunks_exact(dims).map(|pick| squared_distance(&centre, pick) / (4.0 * MARGIN)).collect();
            let newest = self.chosen.len() as u32;
            self.chosen.push(next);
            let nearest = &mut self.nearest;
            let mut farthest = (LEFT_OUT, 0);
            self.points.pieces(&mut buffer, |start, rows| {
                let found = nearest[start..start + rows.len() / dims]
                    .par_chunks_mut(TASK)
                    .zip(rows.par_chunks(TASK * dims))
                    .enumerate()
                    .map(|(task, (states, rows))| {
                        let (squared, at) = update(states, rows, dims, &centre, &keeps, newest);
                        (squared, start + task * TASK + at)
                    })
                    .reduce(|| (LEFT_OUT, usize::MAX), farther);
                farthest = farther(farthest, found);
            })?;
            centres.extend_from_slice(&centre);
            next = farthest.1;
            if !go_on(self.chosen.len()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same selection without these points: picks among them are no picks any more, and none of them is a candidate.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn without(&self, rows: &[Range<usize>]) -> Result<Coreset<'a>> {
        let Points { dims, len, .. } = *self.points;
        let mut is_out = vec![false; len];
        rows.iter().for_each(|range| is_out[range.clone()].fill(true));
        let chosen: Vec<usize> = self.chosen.iter().copied().filter(|index| !is_out[*index]).collect();
        let centres = self.points.rows(&chosen)?;
        // The new number of each pick that stays.
        let mut stays = Vec::with_capacity(self.chosen.len());
        let mut number = 0;
        for index in &self.chosen {
            stays.push((!is_out[*index]).then_some(number));
            number += u32::from(!is_out[*index]);
        }
        let mut nearest = self.nearest.clone();
        let mut buffer = Vec::new();
        self.points.pieces(&mut buffer, |start, rows| {
            let states = nearest[start..].par_iter_mut().zip(&is_out[start..]).zip(rows.par_chunks_exact(dims));
            states.for_each(|((state, is_out), row)| {
                let stays = stays.get(state.pick as usize).copied().flatten();
                *state = match stays {
                    _ if *is_out => Nearest { squared: LEFT_OUT, pick: 0 },
                    Some(pick) => Nearest { pick, ..*state },
                    None => nearest_of(row, &centres, dims),
                };
            });
        })?;
        Ok(Coreset { points: self.points, chosen, nearest })
    }

    fn farthest(&self) -> usize {
        let all = self.nearest.iter().enumerate().map(|(index, state)| (state.squared, index));
        all.fold((LEFT_OUT, 0), farther).1
    }
}

/// The nearest of the picks `[n, dims]`.
fn nearest_of(row: &[f32], picks: &[f32], dims: usize) -> Nearest {
    let mut nearest = Nearest { squared: f32::INFINITY, pick: 0 };
    for (pick, centre) in picks.chunks_exact(dims).enumerate() {
        let squared = squared_distance(row, centre);
        if squared < nearest.squared {
            nearest = Nearest { squared, pick: pick as u32 };
        }
    }
    nearest
}

/// The larger distance; of equal ones the lower index.
fn farther(a: (f32, usize), b: (f32, usize)) -> (f32, usize) {
    if b.0 > a.0 || (b.0 == a.0 && b.1 < a.1) { b } else { a }
}

/// Takes a new pick into account; gives the farthest point of this task.
fn update(states: &mut [Nearest], rows: &[f32], dims: usize, centre: &[f32], keeps: &[f32], newest: u32) -> (f32, usize) {
    let mut farthest = (f32::NEG_INFINITY, 0);
    for (index, (state, row)) in states.iter_mut().zip(rows.chunks_exact(dims)).enumerate() {
        let kept = keeps.get(state.pick as usize).is_some_and(|keep| *keep >= state.squared);
        if !kept && state.squared != LEFT_OUT {
            let squared = squared_distance(row, centre);
            if squared < state.squared {
                *state = Nearest { squared, pick: newest };
            }
        }
        if state.squared > farthest.0 {
            farthest = (state.squared, index);
        }
    }
    farthest
}

/// In a fixed order of summation, eight sums at a time.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let ((a, tail_a), (b, tail_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += (a[i] - b[i]) * (a[i] - b[i]);
        }
    }
    let tail: f32 = tail_a.iter().zip(tail_b).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + tail
}

impl Points {
    fn row(&self, index: usize) -> Result<Vec<f32>> {
        let dims = self.dims;
        match &self.values {
            Values::Memory(values) => Ok(values[index * dims..(index + 1) * dims].to_vec()),
            Values::File(file, path) => read_rows(file, path, index, 1, dims),
        }
    }

    /// Several points, one after the other.
    fn rows(&self, indices: &[usize]) -> Result<Vec<f32>> {
        Ok(indices.iter().map(|index| self.row(*index)).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Calls `work(first row, rows)` for all rows, in order.
    fn pieces(&self, buffer: &mut Vec<f32>, mut work: impl FnMut(usize, &[f32])) -> Result<()> {
        match &self.values {
            Values::Memory(values) => work(0, values),
            Values::File(file, path) => {
                for start in (0..self.len).step_by(PIECE) {
                    *buffer = read_rows(file, path, start, PIECE.min(self.len - start), self.dims)?;
                    work(start, buffer);
                }
            }
        }
        Ok(())
    }
}

/// Reads `count` rows of `dims` little-endian f32 from row `first` on.
///
/// # Errors
/// When the file cannot be read or is too short.
pub fn read_rows(file: &File, path: &Path, first: usize, count: usize, dims: usize) -> Result<Vec<f32>> {
    let mut bytes = vec![0; count * dims * 4];
    file.read_exact_at(&mut bytes, (first * dims * 4) as u64).map_err(Error::io(path, "read"))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use proptest::prelude::*;

    /// Every distance, every time.
    fn naive(values: &[f32], dims: usize, picks: usize, first: usize) -> Vec<usize> {
        let rows: Vec<&[f32]> = values.chunks(dims).collect();
        let mut nearest = vec![f32::INFINITY; rows.len()];
        let mut chosen = vec![first];
        while chosen.len() < picks {
            let centre = rows[*chosen.last().unwrap()];
            nearest.iter_mut().zip(&rows).for_each(|(least, row)| *least = least.min(squared_distance(row, centre)));
            let mut best = 0;
            (0..rows.len()).for_each(|i| best = if nearest[i] > nearest[best] { i } else { best });
            chosen.push(best);
        }
        chosen
    }

    fn in_memory(values: Vec<f32>, dims: usize) -> Points {
        Points { len: values.len() / dims, values: Values::Memory(values), dims }
    }

    fn selected(points: &Points, picks: usize, first: usize) -> Vec<usize> {
        let mut coreset = Coreset::new(points);
        assert!(coreset.grow(picks, first, &mut |_| true).unwrap(), "nobody stopped it");
        coreset.chosen().to_vec()
    }

    /// Clusters with duplicates and small noise: where skipping by the triangle inequality happens and ties matter.
    fn clustered() -> impl Strategy<Value = (usize, Vec<f32>, usize, usize)> {
        let rows = (1usize..20, 2usize..120);
        rows.prop_flat_map(|(dims, len)| {
            let values = prop::collection::vec((0u8..4, -0.01f32..0.01), len * dims);
            (Just(dims), values, 1..=len, 0..len)
        })
        .prop_map(|(dims, values, picks, first)| {
            let cluster = |i: usize| f32::from(values[i / dims * dims].0) * 3.0;
            let value = |i: usize| if values[i].0 == 0 { cluster(i) } else { cluster(i) + values[i].1 };
            (dims, (0..values.len()).map(value).collect(), picks, first)
        })
    }

    proptest! {
        #[test]
        fn equals_the_naive_selection((dims, values, picks, first) in clustered()) {
            let expected = naive(&values, dims, picks, first);
            prop_assert_eq!(selected(&in_memory(values, dims), picks, first), expected);
        }

        #[test]
        fn a_selection_without_some_points_goes_on_as_if_they_had_never_been(
            (dims, values, picks, first) in clustered(), share in 0.0f64..0.9
        ) {
            let len = values.len() / dims;
            let end = (len as f64 * share) as usize;
            let points = in_memory(values.clone(), dims);
            let mut whole = Coreset::new(&points);
            whole.grow(picks, first, &mut |_| true).unwrap();
            let mut part = whole.without(&[0..end / 2, end / 2..end]).unwrap();
            let left: Vec<usize> = part.chosen().to_vec();
            prop_assert!(left.iter().all(|index| *index >= end));
            let picks = picks.min(len - end).max(left.len());
            let first = left.first().copied().unwrap_or(end);
            part.grow(picks, first, &mut |_| true).unwrap();
            // Every distance to the picks that stay, every time.
            let rows: Vec<&[f32]> = values.chunks(dims).collect();
            let mut chosen = left;
            if chosen.is_empty() {
                chosen.push(first);
            }
            while chosen.len() < picks {
                let nearest = |i: usize| chosen.iter().map(|pick| squared_distance(rows[i], rows[*pick])).fold(f32::INFINITY, f32::min);
                let best = (end..len).reduce(|best, i| if nearest(i) > nearest(best) { i } else { best }).unwrap();
                chosen.push(best);
            }
            prop_assert_eq!(part.chosen(), chosen);
        }
    }

    #[test]
    fn a_file_gives_the_same_selection_as_memory() {
        // More rows than one piece, so that pieces really are joined.
        let (dims, len) = (3, PIECE + 5000);
        let values: Vec<f32> = (0..len * dims).map(|i| ((i as u64 * 2654435761) % 10007) as f32 / 100.0).collect();
        let mut file = tempfile::tempfile().unwrap();
        values.iter().for_each(|value| file.write_all(&value.to_le_bytes()).unwrap());
        let expected = naive(&values, dims, 12, 7);
        let file = Points { values: Values::File(file, "points".into()), len, dims };
        let memory = in_memory(values, dims);
        for points in [&file, &memory] {
            assert_eq!(selected(points, 12, 7), expected);
        }
        let parts = [&file, &memory].map(|points| {
            let mut whole = Coreset::new(points);
            whole.grow(12, 7, &mut |_| true).unwrap();
            let mut part = whole.without(&[5..100, 90..PIECE + 10]).unwrap();
            part.grow(12, 7, &mut |_| true).unwrap();
            part.chosen().to_vec()
        });
        assert_eq!(parts[0], parts[1]);
    }

    #[test]
    fn too_few_points_and_stopping() {
        let points = in_memory(vec![0.0, 0.0, 1.0, 0.0, 5.0, 0.0], 2);
        let error = Coreset::new(&points).grow(4, 0, &mut |_| true).err().unwrap().to_string();
        assert!(error.contains("only 3"), "{error}");
        assert!(!Coreset::new(&points).grow(2, 0, &mut |_| false).unwrap());
        let mut all = Coreset::new(&points);
        all.grow(3, 0, &mut |_| true).unwrap();
        let error = all.without(std::slice::from_ref(&(0..1))).unwrap().grow(3, 1, &mut |_| true).err().unwrap().to_string();
        assert!(error.contains("only 2"), "{error}");
    }
}
