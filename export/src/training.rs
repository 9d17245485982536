//! The training curves of a run.

use std::collections::BTreeMap;

use detector::Error;
use detector::run::Run;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// A part of the detector that learns by gradients and leaves a training curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learner {
    /// The defect head, from good images and anomalous samples.
    Defects,
    /// The backbone, from good images and anomalous samples.
    Finetune,
}

/// Training curves: the mean loss of every ten steps.
pub type Curves = BTreeMap<Learner, Vec<f32>>;

/// The training curves of a run; empty where nothing learned by gradients.
///
/// # Errors
/// When the file is malformed or holds the curve of an unknown learner.
pub fn curves(run: &Run) -> Result<Curves> {
    let learner = |name: &str| {
        let name: StrDeserializer<'_, NameError> = name.into_deserializer();
        Learner::deserialize(name).map_err(|error| {
            let problem = format!("{error}: export with the version of the kit that trained the run");
            Error::file(run.folder.join("training.json"), problem)
        })
    };
    let curves = run.training()?.into_iter().map(|(name, curve)| Ok((learner(&name)?, curve)));
    curves.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use apc_tests::SyntheticRun;

    #[test]
    fn curves_are_known_by_their_learner() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        SyntheticRun::default().write(&run, &folder.path().join("data"));
        let run = Run::open(&run).unwrap();
        assert!(curves(&run).unwrap().is_empty());
        let path = run.folder.join("training.json");
        std::fs::write(&path, r#"{"finetune": [1.0], "defects": [2.0, 1.5]}"#).unwrap();
        let found = curves(&run).unwrap();
        assert_eq!((&found[&Learner::Finetune][..], &found[&Learner::Defects][..]), (&[1.0][..], &[2.0, 1.5][..]));
        assert_eq!(serde_json::to_string(&found).unwrap(), r#"{"defects":[2.0,1.5],"finetune":[1.0]}"#);
        std::fs::write(&path, r#"{"decoder": [1.0]}"#).unwrap();
        let error = curves(&run).unwrap_err().to_string();
        assert!(error.contains("training.json") && error.contains("decoder") && error.contains("finetune"), "{error}");
    }
}
