//! Kinds of detectors: what a bundle holds beside the network. Only this file asks which kind a run's detector is. A new kind is a module
//! beside `patchcore`, a variant of [`Kind`], and an arm in each `match` here.

mod parts;
mod patchcore;

pub use parts::{Parts, Shared};
pub use patchcore::{BANK_LIMIT, fused};

use detector::Error;
use detector::bank::Quantisation;
use detector::kinds::Kind;
use detector::run::Run;

use crate::error::Result;

/// Reads the parts of a run's detector; a kind with a memory bank stores its vectors as `bank` says.
///
/// # Errors
/// When this version knows no kind for the run's mode, or a file of the run is missing or unsound.
pub fn parts(run: &Run, bank: Quantisation) -> Result<Box<dyn Parts + '_>> {
    match kind_of(run)? {
        Kind::PatchCore => Ok(Box::new(patchcore::PatchCore::read(run, bank)?)),
    }
}

/// The kind of a run's detector. Modes of one kind differ in what learns.
///
/// # Errors
/// When this version knows no kind for the run's mode.
pub fn kind_of(run: &Run) -> Result<Kind> {
    match run.info.mode.as_str() {
        "patchcore" | "apc" | "apc+" => Ok(Kind::PatchCore),
        mode => {
            let problem = format!(
                "mode {mode:?} is unknown; patchcore, apc or apc+ was expected: export with the kit that trained the run"
            );
            Err(Error::file(run.folder.join("run.toml"), problem).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use apc_tests::SyntheticRun;

    #[test]
    fn a_mode_that_nobody_knows_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        SyntheticRun::default().write(&path, &folder.path().join("data"));
        let mut run = Run::open(&path).unwrap();
        for mode in ["patchcore", "apc", "apc+"] {
            run.info.mode = mode.into();
            assert_eq!(kind_of(&run).unwrap(), Kind::PatchCore);
        }
        run.info.mode = "oracle".into();
        let error = parts(&run, Quantisation::Int8).err().unwrap().to_string();
        assert!(error.contains("run.toml") && error.contains("oracle") && error.contains("patchcore"), "{error}");
    }
}
