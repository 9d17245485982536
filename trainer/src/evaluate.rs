//! Figures of a run, with libtorch and the float bank: the reference for the figures of the exported bundle.

use std::path::Path;

use anyhow::Result;
use detector::bank::Quantisation;
use detector::calibration::Calibration;
use detector::dataset::{Dataset, Sample};
use detector::descriptor::FeatureMap;
use detector::engine::Engine;
use detector::evaluate::{Evaluation, evaluate};
use detector::network::{Backbone, Network};
use detector::preprocess::Size;
use detector::run::Run;
use detector::scorer::Scorer;
use detector::tensors::Tensors;
use tch::{Device, Tensor};

use crate::interrupt::Interrupt;
use crate::network::{Named, Norms, device, forward, to_vec, upload};
use crate::progress::Progress;

/// libtorch as an engine. After an interrupt every call fails.
pub struct TorchEngine {
    network: Network,
    parameters: Named,
    size: Size,
    device: Device,
    interrupt: Interrupt,
}

impl TorchEngine {
    /// The network with these weights.
    ///
    /// # Errors
    /// When a weight is missing or does not fit.
    pub fn new(backbone: &Backbone, weights: &Tensors, size: Size, device: Device, interrupt: &Interrupt) -> Result<TorchEngine> {
        let network = backbone.network()?;
        let parameters = upload(&network, weights, device)?;
        Ok(TorchEngine { network, parameters, size, device, interrupt: interrupt.clone() })
    }
}

impl Engine for TorchEngine {
    fn name(&self) -> &'static str {
        "libtorch"
    }

    fn run(&mut self, input: &[f32]) -> detector::Result<Vec<FeatureMap>> {
        self.interrupt.check().map_err(|stopped| detector::Error::invalid(stopped.to_string()))?;
        let shape = [1, 3, i64::from(self.size.height), i64::from(self.size.width)];
        let image = Tensor::from_slice(input).reshape(shape).to_device(self.device);
        let maps = forward(&self.network, &self.parameters, &image, Norms::Frozen);
        let map = |map: &Tensor| {
            let [_, channels, height, width] = map.size()[..] else {
                return Err(detector::Error::invalid("a feature map must have four axes"));
            };
            let (channels, height, width) = (channels as usize, height as usize, width as usize);
            Ok(FeatureMap { channels, height, width, values: to_vec(map)? })
        };
        maps.iter().map(map).collect()
    }
}

/// Evaluates a run on the images of `data` that it has not seen.
///
/// # Errors
/// When the run or an image cannot be read.
pub fn evaluate_run(run: &Run, data: &Path, device_name: &str) -> Result<(Evaluation, Calibration)> {
    evaluate_on(run, &Dataset::open(data)?.unseen(&run.split()?)?, device_name, &Interrupt::default())
}

/// Evaluates a run on these images.
///
/// # Errors
/// [`Stopped`](crate::interrupt::Stopped) when interrupted, or when the run or an image cannot be read.
pub fn evaluate_on(run: &Run, samples: &[Sample], device_name: &str, interrupt: &Interrupt) -> Result<(Evaluation, Calibration)> {
    let evaluated = evaluate_all(run, samples, device_name, interrupt);
    // A stopped engine fails at some image, and the error would name that image.
    interrupt.check()?;
    evaluated
}

fn evaluate_all(run: &Run, samples: &[Sample], device_name: &str, interrupt: &Interrupt) -> Result<(Evaluation, Calibration)> {
    let info = &run.info;
    let engine = TorchEngine::new(&info.backbone, &run.weights()?, info.input.input(), device(device_name)?, interrupt)?;
    let bank = run.bank(Quantisation::F32)?;
    let mut scorer = run.scorer(engine, bank, run.score_rule()?);
    let scores = run
        .info
        .calibration
        .iter()
        .map(|picture| Ok(scorer.score_prepared(&run.picture(picture)?)?.score))
        .collect::<Result<Vec<f32>>>()?;
    let calibration = run.info.calibrate(&run.info.unseen_scores(&scores))?;
    let mut progress = Progress::new("evaluating", samples.len());
    let mut done = 0;
    let evaluation = evaluate(&mut scorer, samples, Some(&calibration), &mut || {
        done += 1;
        progress.set(done);
    })?;
    progress.finish();
    Ok((evaluation, calibration))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::network::random_weights;

    #[test]
    fn an_interrupted_engine_scores_no_more() {
        let backbone = Backbone::preset("resnet10").unwrap();
        let weights = random_weights(&backbone, 1).unwrap();
        let (size, interrupt) = (Size { width: 32, height: 32 }, Interrupt::default());
        let mut engine = TorchEngine::new(&backbone, &weights, size, Device::Cpu, &interrupt).unwrap();
        let image = vec![0.5; 3 * 32 * 32];
        assert_eq!(engine.run(&image).unwrap().len(), 2);
        interrupt.set();
        assert!(engine.run(&image).unwrap_err().to_string().contains("stopped"));
    }
}
