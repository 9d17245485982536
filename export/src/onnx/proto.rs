//! Pieces of ONNX graphs.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// Name of the network's input, `["batch", 3, height, width]`.
pub const INPUT: &str = "image";
/// Operators that are used have not changed since: old runtimes load the file too.
pub const OPSET: i64 = 13;
/// Read by every ONNX Runtime since 1.10.
pub const IR_VERSION: i64 = 8;

pub fn step(op: &str, name: &str, input: Vec<String>, output: &str) -> NodeProto {
    NodeProto { op_type: op.into(), name: name.into(), input, output: vec![output.into()], ..Default::default() }
}

pub fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..Default::default() }
}

pub fn integers(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|value| *value as i64).collect();
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints, ..Default::default() }
}

pub fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    tensor(name, shape, DataType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub fn int64s(name: &str, values: &[i64]) -> TensorProto {
    tensor(name, &[values.len()], DataType::Int64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub fn int32s(name: &str, shape: &[usize], values: &[i32]) -> TensorProto {
    tensor(name, shape, DataType::Int32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

pub fn int8s(name: &str, shape: &[usize], values: &[i8]) -> TensorProto {
    tensor(name, shape, DataType::Int8, values.iter().map(|value| value.cast_unsigned()).collect())
}

pub fn uint8(name: &str, value: u8) -> TensorProto {
    tensor(name, &[], DataType::Uint8, vec![value])
}

fn tensor(name: &str, shape: &[usize], data_type: DataType, raw_data: Vec<u8>) -> TensorProto {
    let dims = shape.iter().map(|size| *size as i64).collect();
    TensorProto { name: name.into(), dims, data_type: data_type as i32, raw_data, ..Default::default() }
}

/// An input or output of a graph; `shape` is without the batch axis.
pub fn info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let axis = |value| Dimension { value: Some(value), ..Default::default() };
    let mut dim = vec![axis(dimension::Value::DimParam("batch".into()))];
    dim.extend(shape.iter().map(|size| axis(dimension::Value::DimValue(*size as i64))));
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(r#type), ..Default::default() }
}

/// `[columns, rows]` from `[rows, columns]`.
pub fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

/// Bytes of an ONNX file with this graph.
pub fn encode(graph: GraphProto) -> Vec<u8> {
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "apc-export".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        ..Default::default()
    };
    model.encode_to_vec()
}
