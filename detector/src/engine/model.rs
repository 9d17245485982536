//! Reading a network from bytes.

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::prelude::Framework;

use crate::{EngineFault, Error, Result};

/// Reads a network, and refuses one that keeps weights in other files: those files were not verified with the bundle.
pub(super) fn read(engine: &'static str, onnx: &[u8]) -> Result<tract_onnx::pb::ModelProto> {
    let model = tract_onnx::model::Onnx::default().proto_model_for_read(&mut &*onnx);
    let model =
        model.map_err(|error| Error::engine(engine, EngineFault::Network, format!("cannot read the network: {error:#}")))?;
    let external = |tensor: &tract_onnx::pb::TensorProto| {
        !tensor.external_data.is_empty() || tensor.data_location == Some(DataLocation::External as i32)
    };
    match model.graph.iter().flat_map(|graph| &graph.initializer).any(external) {
        true => {
            Err(Error::engine(engine, EngineFault::Network, "the network keeps weights in files outside the bundle: refused"))
        }
        false => Ok(model),
    }
}
