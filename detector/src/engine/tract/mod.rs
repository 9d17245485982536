//! tract: the engine in pure Rust.

mod operators;
mod registers;

use std::sync::Arc;

use tract_onnx::model::Onnx;
use tract_onnx::prelude::multithread::Executor;
use tract_onnx::prelude::*;

use super::interface::Engine;
use super::model;
use crate::descriptor::FeatureMap;
use crate::preprocess::Size;
use crate::{EngineFault, Error, Result};

const NAME: &str = "tract";

/// tract on the CPU, which needs no library. It runs on rayon's current pool, which searches the memory bank, too. Work is split between
/// results, never inside a sum, so scores do not depend on the number of threads.
pub struct TractEngine {
    plan: Arc<TypedRunnableModel>,
    size: Size,
}

impl TractEngine {
    /// Loads `backbone.onnx` from memory, for one image of the given size.
    ///
    /// # Errors
    /// When the bytes are no ONNX model, refer to files outside, or use an operator that float backbones do not have.
    pub fn load(onnx: &[u8], size: Size) -> Result<TractEngine> {
        TractEngine::load_with(&operators::reader(), onnx, size)
    }

    /// [`TractEngine::load`] with the operators of `reader`. With all of tract's operators, [`tract_onnx::onnx`], the exporter runs the
    /// other forms of a network.
    ///
    /// # Errors
    /// As [`TractEngine::load`].
    pub fn load_with(reader: &Onnx, onnx: &[u8], size: Size) -> Result<TractEngine> {
        let failed =
            |error: TractError| Error::engine(NAME, EngineFault::Network, format!("cannot load the backbone: {error:#}"));
        let model = model::read(NAME, onnx)?;
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
        let outputs = self.plan.run(tvec!(Tensor::from_shape(&shape, input)?.into()));
        registers::clear_upper();
        let outputs = outputs?;
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
        self.feature_maps(input).map_err(|error| Error::engine(NAME, EngineFault::Run, format!("{error:#}")))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::tensor_proto::DataType;
    use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
    use tract_onnx::pb::type_proto::{self, Tensor};
    use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto};

    use super::*;

    fn network(operator: &str) -> Vec<u8> {
        let dim = |n| Dimension { value: Some(dimension::Value::DimValue(n)), ..Dimension::default() };
        let shape = TensorShapeProto { dim: [1, 3, 8, 8].map(dim).to_vec() };
        let tensor = Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        let value = |name: &str| ValueInfoProto { name: name.into(), r#type: Some(kind.clone()), ..ValueInfoProto::default() };
        let node =
            NodeProto { op_type: operator.into(), input: vec!["in".into()], output: vec!["out".into()], ..NodeProto::default() };
        let graph =
            GraphProto { node: vec![node], input: vec![value("in")], output: vec![value("out")], ..GraphProto::default() };
        let opset = OperatorSetIdProto { version: 13, ..OperatorSetIdProto::default() };
        ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn an_operator_that_no_backbone_has_is_refused_by_name() {
        let size = Size { width: 8, height: 8 };
        let known = TractEngine::load(&network("Relu"), size).unwrap().run(&[-1.0; 192]).unwrap();
        assert_eq!(known[0].values, [0.0; 64 * 3]);
        let error = TractEngine::load(&network("Tanh"), size).err().expect("refused").to_string();
        assert!(error.contains("Tanh"), "{error}");
    }
}
