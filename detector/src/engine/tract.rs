use std::sync::Arc;

use tract_onnx::prelude::multithread::Executor;
use tract_onnx::prelude::*;

use super::{Engine, refuse_external_data};
use crate::descriptor::FeatureMap;
use crate::preprocess::Size;
use crate::{Error, Result};

const NAME: &str = "tract";

/// tract on the CPU, always there. It runs on rayon's current pool, the one that searches the memory bank; work is split between
/// results, never inside a sum, so scores do not depend on the number of threads.
pub struct TractEngine {
    plan: Arc<TypedRunnableModel>,
    size: Size,
}

impl TractEngine {
    /// Loads `backbone.onnx` from memory, for one image of the given size.
    ///
    /// # Errors
    /// When the bytes are no ONNX model, refer to files outside, or use what tract does not know.
    pub fn load(onnx: &[u8], size: Size) -> Result<TractEngine> {
        let failed = |error: TractError| Error::engine(NAME, format!("cannot load the backbone: {error:#}"));
        let reader = tract_onnx::onnx();
        let model = reader.proto_model_for_read(&mut &*onnx).map_err(failed)?;
        refuse_external_data(NAME, &model)?;
        let shape = [1, 3, size.height as usize, size.width as usize];
        // A pool of one thread would only add the cost of handing over.
        let executor = if rayon::current_num_threads() > 1 { Executor::RayonGlobal } else { Executor::SingleThread };
        let options = RunOptions { executor: Some(executor), ..RunOptions::default() };
        let plan = reader
            .model_for_proto_model(&model)
            .and_then(|model| model.with_input_fact(0, f32::fact(shape).into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable_with_options(&options))
            .map_err(failed)?;
        Ok(TractEngine { plan, size })
    }

    fn feature_maps(&self, input: &[f32]) -> TractResult<Vec<FeatureMap>> {
        let shape = [1, 3, self.size.height as usize, self.size.width as usize];
        let outputs = self.plan.run(tvec!(Tensor::from_shape(&shape, input)?.into()))?;
        let map = |output: &TValue| {
            let view = output.try_as_plain_ram()?;
            let [1, channels, height, width] = view.shape()[..] else {
                return Err(TractError::msg(format!(
                    "the backbone's output has shape {:?}, expected [1, channels, height, width]",
                    view.shape()
                )));
            };
            Ok(FeatureMap { channels, height, width, values: view.as_slice::<f32>()?.to_vec() })
        };
        outputs.iter().map(map).collect()
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        self.feature_maps(input).map_err(|error| Error::engine(NAME, format!("{error:#}")))
    }
}
