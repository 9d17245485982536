//! Engines run the network; all give the same feature maps up to their arithmetic.

mod kind;
#[cfg(feature = "ort")]
mod ort;
#[cfg(feature = "tract")]
mod tract;

pub use kind::{EngineKind, Machine, VariantChoice};
#[cfg(feature = "ort")]
pub use ort::OrtEngine;
#[cfg(feature = "tract")]
pub use tract::TractEngine;

use crate::Result;
use crate::descriptor::FeatureMap;

/// Runs a network on one image: the backbone, or the fused graph, whose outputs are maps of one channel.
pub trait Engine: Send {
    /// The name a user chooses it by.
    fn name(&self) -> &'static str;

    /// Feature maps of a normalised image `[3, height, width]`, in the order of the network's outputs.
    ///
    /// # Errors
    /// When the input has another length or the engine fails.
    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>>;
}

impl<E: Engine + ?Sized> Engine for &mut E {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        (**self).run(input)
    }
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        (**self).run(input)
    }
}

/// Reads a network, and refuses one with weights outside its own bytes: whatever lies beside the process is not what was verified.
#[cfg(feature = "tract")]
fn read(engine: &'static str, onnx: &[u8]) -> Result<tract_onnx::pb::ModelProto> {
    use tract_onnx::pb::tensor_proto::DataLocation;
    use tract_onnx::prelude::Framework;
    let model = tract_onnx::model::Onnx::default().proto_model_for_read(&mut &*onnx);
    let model = model.map_err(|error| crate::Error::engine(engine, format!("cannot read the network: {error:#}")))?;
    let external = |tensor: &tract_onnx::pb::TensorProto| {
        !tensor.external_data.is_empty() || tensor.data_location == Some(DataLocation::External as i32)
    };
    match model.graph.iter().flat_map(|graph| &graph.initializer).any(external) {
        true => Err(crate::Error::engine(engine, "the network keeps weights in files outside the bundle: refused")),
        false => Ok(model),
    }
}
