//! PatchCore: patch descriptors and a memory bank behind the network, and a defect head where the run has learned one (mode `apc+`).

mod fused;

pub use fused::fused;

use std::collections::BTreeMap;

use detector::bank::{MemoryBank, Quantisation};
use detector::bundle::{BankFile, FORMAT, Manifest, PatchDescriptorSection};
use detector::engine::Engine;
use detector::network::Network;
use detector::preprocess::Size;
use detector::run::{Run, RunInfo};
use detector::scorer::{FusedScorer, KnownDefects, Scorer};
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
}

impl<'r> PatchCore<'r> {
    /// Reads the run's memory bank and stores its vectors as `quantisation` says.
    ///
    /// # Errors
    /// When the bank's file is missing or does not fit.
    pub fn read(run: &'r Run, quantisation: Quantisation) -> Result<PatchCore<'r>> {
        Ok(PatchCore { run, bank: run.bank(quantisation)? })
    }
}

impl Parts for PatchCore<'_> {
    fn trained_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Result<Box<dyn Scorer + 'e>> {
        Ok(Box::new(self.run.info.scorer(engine, self.run.bank(Quantisation::F32)?)))
    }

    fn scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Box<dyn Scorer + 'e> {
        Box::new(self.run.info.scorer(engine, self.bank.clone()))
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
        let info = &self.run.info;
        let untaught = RunInfo { defects: info.defects.map(|_| KnownDefects { weight: 0.0 }), ..info.clone() };
        Ok(Some(Box::new(untaught.scorer(engine, self.bank.clone()))))
    }

    fn fused(&self, network: &Network, weights: &Tensors, input: Size) -> Result<Vec<u8>> {
        Ok(fused(network, weights, input, &self.bank)?)
    }

    fn fused_scorer<'e>(&self, engine: Box<dyn Engine + 'e>) -> Box<dyn Scorer + 'e> {
        let info = &self.run.info;
        Box::new(FusedScorer::new(engine, info.input.clone(), info.defects, info.smoothing))
    }

    fn entries(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        Ok(BTreeMap::from([(BANK.to_owned(), self.bank.to_tensors().to_bytes()?)]))
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
            calibration,
            self_test,
            variants,
            files: BTreeMap::new(),
        }
    }
}
