//! PatchCore: patch descriptors and a memory bank behind the network, and a defect head where the run has learned one (mode `apc+`).

mod fused;

pub use fused::fused;

use std::collections::BTreeMap;

use detector::bank::{MemoryBank, Quantisation};
use detector::bundle::{BankFile, FORMAT, Manifest, PatchDescriptorSection};
use detector::engine::Engine;
use detector::network::Network;
use detector::preprocess::Size;
use detector::run::Run;
use detector::scorer::{FusedScorer, KnownDefects, Places, ScoreRule, Scorer};
use detector::tensors::Tensors;

use super::parts::{Parts, Shared};
use crate::error::Result;
use crate::gate::Gate;
use crate::training::{self, Learner};

/// Largest accepted relative difference of an image score that storing the memory bank in int8 makes.
pub const BANK_LIMIT: f32 = 2e-2;

const BANK: &str = "memory_bank.safetensors";

/// The parts of a PatchCore run.
pub struct PatchCore<'r> {
    run: &'r Run,
    /// As the bundle stores it.
    bank: MemoryBank,
    rule: ScoreRule,
}

impl<'r> PatchCore<'r> {
    /// Reads the run's memory bank and stores its vectors as `quantisation` says.
    ///
    /// # Errors
    /// When a file of the run is missing or does not fit.
    pub fn read(run: &'r Run, quantisation: Quantisation) -> Result<PatchCore<'r>> {
        Ok(PatchCore { run, bank: run.bank(quantisation)?, rule: run.score_rule()? })
    }
}

impl Parts for PatchCore<'_> {
    fn trained_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Result<Box<dyn Scorer + 'e>> {
        Ok(Box::new(self.run.scorer(engine, self.run.bank(Quantisation::F32)?, self.rule.clone())))
    }

    fn scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Box<dyn Scorer + 'e> {
        Box::new(self.run.scorer(engine, self.bank.clone(), self.rule.clone()))
    }

    fn rounding(&self) -> Option<Gate> {
        match self.bank.quantisation() {
            Quantisation::F32 => None,
            Quantisation::Int8 => Some(Gate { from: "with the int8 bank", limit: BANK_LIMIT, advice: "export with --bank f32" }),
        }
    }

    /// The distances alone: what the defect head learned only adds to them. Features that were fine-tuned on the samples stay so.
    fn untaught_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Result<Option<Box<dyn Scorer + 'e>>> {
        if training::curves(self.run)?.contains_key(&Learner::Finetune) {
            return Ok(None);
        }
        let defects = self.rule.defects.map(|_| KnownDefects { weight: 0.0, map: None });
        Ok(Some(Box::new(self.run.scorer(engine, self.bank.clone(), ScoreRule { defects, ..self.rule.clone() }))))
    }

    fn fused(&self, network: &Network, weights: &Tensors, input: Size) -> Result<Vec<u8>> {
        Ok(fused(network, weights, input, &self.bank)?)
    }

    fn fused_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Box<dyn Scorer + 'e> {
        Box::new(FusedScorer::new(engine, self.run.info.input.clone(), self.rule.clone()))
    }

    fn entries(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut entries = BTreeMap::from([(BANK.to_owned(), self.bank.to_tensors().to_bytes()?)]);
        if let Some(places) = &self.rule.places {
            entries.insert(Places::FILE.into(), places.to_tensors().to_bytes()?);
        }
        Ok(entries)
    }

    fn manifest(&self, shared: Shared) -> Manifest {
        let (info, bank) = (&self.run.info, &self.bank);
        let Shared { detector, input, backbone, calibration, self_test, variants } = shared;
        Manifest {
            format: FORMAT,
            detector,
            input,
            backbone,
            descriptor: PatchDescriptorSection { kind: info.descriptor },
            bank: BankFile { file: BANK.into(), quantisation: bank.quantisation(), vectors: bank.len(), dims: bank.dims() },
            smoothing: info.smoothing,
            defects: info.defects,
            places: self.rule.places.as_ref().map(|_| Places::FILE.into()),
            calibration,
            self_test,
            variants,
            files: BTreeMap::new(),
        }
    }
}
