use std::path::PathBuf;

use anyhow::Result;
use detector::bundle::{Bundle, SIZE_LIMIT};
use detector::{Detector, Setup, files};

use super::{Answer, say};

/// Check that a bundle is sound: structure, hashes, and its self-test on this machine.
///
/// Exit code 0 if it is, 1 if it is not, 2 if the file cannot be read at all.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle
    bundle: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let bytes = files::read_bounded(&args.bundle, SIZE_LIMIT)?;
    let setup = Setup::default();
    let started = Bundle::parse(&bytes, &args.bundle).and_then(|bundle| Ok((Detector::start(&bundle, &setup)?, bundle)));
    match started {
        Ok((detector, bundle)) => {
            let (references, path) = (bundle.manifest.self_test.references.len(), args.bundle.display());
            let worst = detector.self_test_difference;
            say(&format!(
                "{path}: sound\nid {}\nself-test on {}: {references} references, largest relative difference {worst:.1e}",
                bundle.id, detector.engine
            ))?;
            Ok(Answer::Yes)
        }
        Err(error) => {
            say(&format!("{}: not sound", args.bundle.display()))?;
            eprintln!("error: {error}");
            Ok(Answer::No)
        }
    }
}
