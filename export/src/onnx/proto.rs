//! Pieces of ONNX graphs.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

pub(super) fn step(op: &str, name: &str, input: Vec<String>, output: &str) -> NodeProto {
    NodeProto { op_type: op.into(), name: name.into(), input, output: vec![output.into()], ..Default::default() }
}

pub(super) fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..Default::default() }
}

pub(super) fn integers(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|value| *value as i64).collect();
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints, ..Default::default() }
}

pub(super) fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    tensor(name, shape, DataType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub(super) fn int64s(name: &str, values: &[i64]) -> TensorProto {
    tensor(name, &[values.len()], DataType::Int64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub(super) fn int32s(name: &str, shape: &[usize], values: &[i32]) -> TensorProto {
    tensor(name, shape, DataType::Int32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub(super) fn int8s(name: &str, shape: &[usize], values: &[i8]) -> TensorProto {
    tensor(name, shape, DataType::Int8, values.iter().map(|value| value.cast_unsigned()).collect())
}

pub(super) fn uint8(name: &str, value: u8) -> TensorProto {
    tensor(name, &[], DataType::Uint8, vec![value])
}

fn tensor(name: &str, shape: &[usize], data_type: DataType, raw_data: Vec<u8>) -> TensorProto {
    let dims = shape.iter().map(|size| *size as i64).collect();
    TensorProto { name: name.into(), dims, data_type: data_type as i32, raw_data, ..Default::default() }
}
