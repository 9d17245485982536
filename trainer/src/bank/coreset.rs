//! Greedy farthest-point selection (Roth et al., arXiv 2106.08265, algorithm 1): few patches, so that every patch is near to one of
//! them.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use detector::{Error, Result};
use rayon::prelude::*;

/// Rows that one task handles; results do not depend on it.
const TASK: usize = 1024;
/// Rows that are read from a file at once.
const PIECE: usize = 1 << 16;
/// Triangle-inequality skips must survive rounding: distances are squared sums of at most some thousand terms in single precision.
const MARGIN: f32 = 1.001;

/// Projected patches, `[len, dims]` row-major, in memory or in a file of little-endian f32.
pub enum Points {
    /// In memory.
    Memory(Vec<f32>),
    /// In a file, which is read once for every pick.
    File(File),
}

/// Result of a selection.
pub enum Picked {
    /// Indices in the order of picking.
    All(Vec<usize>),
    /// `go_on` returned false.
    Stopped,
}

/// State of one point.
#[derive(Clone, Copy)]
struct Nearest {
    /// Squared distance to the nearest pick.
    squared: f32,
    /// Which pick that is.
    pick: u32,
}

/// Picks `picks` points, beginning with `first`. Each next pick is the point that is farthest from all picks so far; of equally far
/// points it is the first. `go_on` is called after every pick with the number of picks; the selection stops when it returns false.
///
/// A point's distance to a new pick is not computed where the triangle inequality already says that it is no nearer (Elkan, ICML 2003).
///
/// # Errors
/// When there are fewer points than picks or the file cannot be read.
pub fn select(
    points: &Points,
    dims: usize,
    len: usize,
    picks: usize,
    first: usize,
    path: &Path,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Picked> {
    if picks == 0 || picks > len || first >= len {
        return Err(Error::invalid(format!(
            "the memory bank is to hold {picks} patches, but the good images have only {len}: add images or lower bank.vectors"
        )));
    }
    let mut nearest = vec![Nearest { squared: f32::INFINITY, pick: 0 }; len];
    let mut centres: Vec<f32> = Vec::with_capacity(picks * dims);
    let mut chosen = Vec::with_capacity(picks);
    let mut next = first;
    let mut buffer = Vec::new();
    loop {
        let centre = points.row(next, dims, path)?;
        chosen.push(next);
        if chosen.len() == picks {
            return Ok(Picked::All(chosen));
        }
        if !go_on(chosen.len()) {
            return Ok(Picked::Stopped);
        }
        // A point keeps its pick when the new one is at least twice as far from that pick as the point is.
        let keeps: Vec<f32> =
            centres.par_chunks_exact(dims).map(|pick| squared_distance(&centre, pick) / (4.0 * MARGIN)).collect();
        let newest = (chosen.len() - 1) as u32;
        let mut farthest = (f32::NEG_INFINITY, 0);
        points.pieces(dims, len, path, &mut buffer, |start, rows| {
            let states = &mut nearest[start..start + rows.len() / dims];
            let found = states
                .par_chunks_mut(TASK)
                .zip(rows.par_chunks(TASK * dims))
                .enumerate()
                .map(|(task, (states, rows))| {
                    let (squared, at) = update(states, rows, dims, &centre, &keeps, newest);
                    (squared, start + task * TASK + at)
                })
                .reduce(|| (f32::NEG_INFINITY, usize::MAX), farther);
            farthest = farther(farthest, found);
        })?;
        centres.extend_from_slice(&centre);
        next = farthest.1;
    }
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
        if !kept {
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
    fn row(&self, index: usize, dims: usize, path: &Path) -> Result<Vec<f32>> {
        match self {
            Points::Memory(values) => Ok(values[index * dims..(index + 1) * dims].to_vec()),
            Points::File(file) => read_rows(file, path, index, 1, dims),
        }
    }

    /// These rows alone: in memory if all are, otherwise in a file without a name beside `path`, the file of all.
    pub fn subset(&self, rows: &[Range<usize>], dims: usize, path: &Path) -> Result<Points> {
        match self {
            Points::Memory(all) => {
                let values = |range: &Range<usize>| &all[range.start * dims..range.end * dims];
                Ok(Points::Memory(rows.iter().flat_map(values).copied().collect()))
            }
            Points::File(file) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                let write = Error::io(folder, "write a file in");
                let copy = || -> std::io::Result<File> {
                    let mut part = tempfile::tempfile_in(folder)?;
                    for range in rows {
                        let mut bytes = vec![0; range.len() * dims * 4];
                        file.read_exact_at(&mut bytes, (range.start * dims * 4) as u64)?;
                        part.write_all(&bytes)?;
                    }
                    Ok(part)
                };
                copy().map(Points::File).map_err(write)
            }
        }
    }

    /// Calls `work(first row, rows)` for all rows, in order.
    fn pieces(
        &self,
        dims: usize,
        len: usize,
        path: &Path,
        buffer: &mut Vec<f32>,
        mut work: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        match self {
            Points::Memory(values) => work(0, values),
            Points::File(file) => {
                for start in (0..len).step_by(PIECE) {
                    *buffer = read_rows(file, path, start, PIECE.min(len - start), dims)?;
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

    fn selected(points: &Points, dims: usize, len: usize, picks: usize, first: usize) -> Vec<usize> {
        match select(points, dims, len, picks, first, Path::new("points"), &mut |_| true).unwrap() {
            Picked::All(chosen) => chosen,
            Picked::Stopped => panic!("nobody stopped it"),
        }
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
            let len = values.len() / dims;
            let expected = naive(&values, dims, picks, first);
            prop_assert_eq!(selected(&Points::Memory(values), dims, len, picks, first), expected);
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
        assert_eq!(selected(&Points::File(file), dims, len, 12, 7), expected);
        assert_eq!(selected(&Points::Memory(values), dims, len, 12, 7), expected);
    }

    #[test]
    fn a_subset_is_the_rows_alone() {
        let (dims, len) = (3, 400);
        let values: Vec<f32> = (0..len * dims).map(|i| ((i as u64 * 2654435761) % 10007) as f32 / 100.0).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points");
        std::fs::write(&path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
        let rows = [0..100, 250..400];
        let kept: Vec<f32> = [&values[..100 * dims], &values[250 * dims..]].concat();
        let expected = naive(&kept, dims, 12, 7);
        let file = Points::File(File::open(&path).unwrap()).subset(&rows, dims, &path).unwrap();
        assert!(matches!(file, Points::File(_)));
        let memory = Points::Memory(values).subset(&rows, dims, &path).unwrap();
        for points in [file, memory] {
            assert_eq!(selected(&points, dims, 250, 12, 7), expected);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no file is left");
    }

    #[test]
    fn too_few_points_and_stopping() {
        let points = Points::Memory(vec![0.0; 6]);
        let error = select(&points, 2, 3, 4, 0, Path::new("x"), &mut |_| true).err().unwrap().to_string();
        assert!(error.contains("only 3"), "{error}");
        assert!(matches!(select(&points, 2, 3, 2, 0, Path::new("x"), &mut |_| false), Ok(Picked::Stopped)));
    }
}
