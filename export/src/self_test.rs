//! The self-test: pictures of the run, and the scores that every engine must reach on them before it judges.

use std::collections::BTreeMap;

use detector::bundle::{Reference, SelfTest};
use detector::files;
use detector::run::{ReferenceKind, Run, StoredPicture};
use detector::scorer::Scorer;

use crate::error::Result;

/// Most pictures: the self-test runs at every start of the camera.
pub const PICTURES: usize = 4;
/// Largest picture of the run in bytes.
const PICTURE_LIMIT: u64 = 64 << 20;

/// A picture of the self-test.
pub struct TestPicture {
    /// Its entry in the bundle.
    file: String,
    /// Its file in the run.
    stored: StoredPicture,
}

/// The first references of the run; kinds take turns.
pub fn pictures(run: &Run) -> Vec<TestPicture> {
    let kinds = [ReferenceKind::Good, ReferenceKind::Anomalous, ReferenceKind::Noise];
    let of = |kind| run.info.references.iter().filter(move |reference| reference.kind == kind);
    let mut ranked: Vec<(usize, usize, _)> = Vec::new();
    for (k, kind) in kinds.into_iter().enumerate() {
        ranked.extend(of(kind).enumerate().map(|(round, reference)| (round, k, reference)));
    }
    ranked.sort_by_key(|(round, kind, _)| (*round, *kind));
    let numbered = ranked.into_iter().take(PICTURES).enumerate();
    let picture = |(index, (_, _, reference)): (usize, (usize, usize, &detector::run::Reference))| TestPicture {
        file: format!("reference/{index:03}.png"),
        stored: reference.picture.clone(),
    };
    numbered.map(picture).collect()
}

/// Names and bytes of the bundle's entries with the pictures.
///
/// # Errors
/// When a picture cannot be read.
pub fn entries(run: &Run, pictures: &[TestPicture]) -> Result<BTreeMap<String, Vec<u8>>> {
    let entry = |picture: &TestPicture| {
        let bytes = files::read_bounded(&run.folder.join(&picture.stored.file), PICTURE_LIMIT)?;
        Ok((picture.file.clone(), bytes))
    };
    pictures.iter().map(entry).collect()
}

/// Scores the pictures: another engine's scores may differ by at most `tolerance`, relative.
///
/// # Errors
/// When a picture cannot be read or scored.
pub fn record(run: &Run, pictures: &[TestPicture], scorer: &mut dyn Scorer, tolerance: f32) -> Result<SelfTest> {
    let reference = |TestPicture { file, stored }: &TestPicture| {
        let score = scorer.score_prepared(&run.picture(stored)?)?.score;
        Ok(Reference { file: file.clone(), content: stored.content, score })
    };
    Ok(SelfTest { tolerance, references: pictures.iter().map(reference).collect::<Result<_>>()? })
}
