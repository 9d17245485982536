//! Networks as ONNX files: the float backbone, its int8 form, and the backbone with descriptor and memory bank behind it.

mod fused;
mod int8;
mod proto;

pub use fused::fused;
pub use int8::{Seen, beginnings, int8, observer};

use detector::descriptor::bilinear;
use detector::network::{Conv, Network, Node, Op};
use detector::preprocess::Size;
use detector::tensors::Tensors;
use detector::{Error, Result};
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use crate::fold::fold;
use proto::{floats, integer, integers, step};

/// Name of the network's input, `["batch", 3, height, width]`.
pub const INPUT: &str = "image";
/// Operators that are used have not changed since: old runtimes load the file too.
pub const OPSET: i64 = 13;
/// Read by every ONNX Runtime since 1.10.
pub const IR_VERSION: i64 = 8;

/// Bytes of an ONNX file that computes the network at a fixed input size for any batch size. Batch normalisations are folded in,
/// nodes and weights have torchvision's names, outputs are named by layer.
///
/// # Errors
/// When a weight does not fit the network or the input is too small for it.
pub fn backbone(network: &Network, weights: &Tensors, input: Size) -> Result<Vec<u8>> {
    let (mut graph, values) = float(network, weights, input)?;
    graph.output = network.results().map(|output| values[output.node].info()).collect();
    Ok(encode(graph))
}

/// The float backbone without its outputs, and what each of the network's nodes gives.
fn float(network: &Network, weights: &Tensors, input: Size) -> Result<(GraphProto, Vec<Value>)> {
    let values = values(network, input)?;
    let mut graph = GraphProto { name: "backbone".into(), input: vec![values[0].info()], ..Default::default() };
    for (node, value) in network.nodes.iter().zip(&values) {
        push(&mut graph, node, value, &values, weights)?;
    }
    Ok((graph, values))
}

/// Adds one of the network's nodes in float.
fn push(graph: &mut GraphProto, node: &Node, value: &Value, values: &[Value], weights: &Tensors) -> Result<()> {
    let mut inputs: Vec<String> = node.inputs.iter().map(|i| values[*i].name.clone()).collect();
    let op = match &node.op {
        Op::Input => return Ok(()),
        Op::Enlarge => {
            enlarge(graph, &values[node.inputs[0]], value.shape, &value.name);
            return Ok(());
        }
        Op::Conv(conv) => {
            let folded = fold(conv, weights)?;
            let (weight, bias) = (format!("{}.weight", conv.name), format!("{}.bias", conv.name));
            graph.initializer.push(floats(&weight, &kernel_shape(conv), &folded.weight));
            graph.initializer.push(floats(&bias, &[conv.output], &folded.bias));
            inputs.extend([weight, bias]);
            "Conv"
        }
        Op::MaxPool { .. } => "MaxPool",
        // A convolution of each channel by itself: engines have faster code for that than for pooling.
        Op::Mean => {
            let weight = format!("{}.weight", value.name);
            graph.initializer.push(floats(&weight, &[value.shape[0], 1, 3, 3], &vec![1.0 / 9.0; 9 * value.shape[0]]));
            inputs.push(weight);
            "Conv"
        }
        Op::Relu => "Relu",
        Op::Add => "Add",
    };
    let mut made = step(op, &value.node, inputs, &value.name);
    made.attribute = attributes(&node.op, value);
    graph.node.push(made);
    Ok(())
}

/// Enlarges a map bilinearly: linear along each axis, so two small matrices do, and nothing depends on a runtime's rules for `Resize`.
fn enlarge(graph: &mut GraphProto, from: &Value, [_, height, width]: [usize; 3], name: &str) {
    let [_, rows, columns] = from.shape;
    let (wide, across, down) = (format!("{name}.wide"), format!("{name}.columns"), format!("{name}.rows"));
    graph.initializer.push(floats(&across, &[columns, width], &transposed(&bilinear(columns, width), columns)));
    graph.initializer.push(floats(&down, &[height, rows], &bilinear(rows, height)));
    graph.node.push(step("MatMul", &wide, vec![from.name.clone(), across], &wide));
    graph.node.push(step("MatMul", name, vec![down, wide], name));
}

/// `[columns, rows]` from `[rows, columns]`.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

fn encode(graph: GraphProto) -> Vec<u8> {
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

/// Names and shapes of what the network's nodes give.
fn values(network: &Network, input: Size) -> Result<Vec<Value>> {
    let mut values: Vec<Value> = Vec::with_capacity(network.nodes.len());
    for (index, node) in network.nodes.iter().enumerate() {
        let of = |i: usize| &values[node.inputs[i]];
        let (name, shape) = match &node.op {
            Op::Input => (INPUT.into(), [3, input.height as usize, input.width as usize]),
            Op::Conv(conv) => (conv.name.clone(), of(0).windowed(conv.output, conv.kernel, conv.stride, conv.padding(), false)?),
            Op::MaxPool { padding, ceil } => ("maxpool".into(), of(0).windowed(of(0).shape[0], 3, 2, *padding, *ceil)?),
            Op::Mean => (format!("{}.mean", of(0).node), of(0).shape),
            Op::Enlarge => (format!("{}.large", of(0).node), [of(0).shape[0], of(1).shape[1], of(1).shape[2]]),
            Op::Relu => {
                // After a sum it ends its block, as torchvision's last `relu` does.
                let before = of(0).node.strip_suffix(".add").unwrap_or(&of(0).node);
                (format!("{before}.relu"), of(0).shape)
            }
            Op::Add => {
                let block = of(0).node.rsplit_once('.').map_or("", |(block, _)| block);
                (format!("{block}.add"), of(0).shape)
            }
        };
        let output = network.results().find(|output| output.node == index);
        values.push(Value { name: output.map_or(name.clone(), |output| output.layer.clone()), node: name, shape });
    }
    Ok(values)
}

/// What a node gives: `[channels, height, width]` behind the batch axis.
struct Value {
    node: String,
    name: String,
    shape: [usize; 3],
}

impl Value {
    /// Shape after a convolution or pooling.
    fn windowed(&self, channels: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> Result<[usize; 3]> {
        let [_, height, width] = self.shape;
        let size = |length: usize| {
            let room = (length + 2 * padding).checked_sub(kernel)?;
            Some(if ceil { room.div_ceil(stride) } else { room / stride } + 1)
        };
        match (size(height), size(width)) {
            (Some(height), Some(width)) => Ok([channels, height, width]),
            _ => Err(Error::invalid(format!("the input is too small for the network: {height}x{width} left at {}", self.node))),
        }
    }

    fn info(&self) -> ValueInfoProto {
        info(&self.name, &self.shape)
    }
}

/// A value of a shape behind the batch axis.
fn info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let axis = |value| Dimension { value: Some(value), ..Default::default() };
    let mut dim = vec![axis(dimension::Value::DimParam("batch".into()))];
    dim.extend(shape.iter().map(|size| axis(dimension::Value::DimValue(*size as i64))));
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(r#type), ..Default::default() }
}

fn kernel_shape(conv: &Conv) -> [usize; 4] {
    [conv.output, conv.input, conv.kernel, conv.kernel]
}

fn attributes(op: &Op, value: &Value) -> Vec<AttributeProto> {
    match op {
        Op::Conv(conv) => vec![
            integers("dilations", &[1; 2]),
            integer("group", 1),
            integers("kernel_shape", &[conv.kernel; 2]),
            integers("pads", &[conv.padding(); 4]),
            integers("strides", &[conv.stride; 2]),
        ],
        Op::MaxPool { padding, ceil } => vec![
            integer("ceil_mode", i64::from(*ceil)),
            integers("kernel_shape", &[3; 2]),
            integers("pads", &[*padding; 4]),
            integers("strides", &[2; 2]),
        ],
        Op::Mean => vec![
            integers("dilations", &[1; 2]),
            integer("group", value.shape[0] as i64),
            integers("kernel_shape", &[3; 2]),
            integers("pads", &[1; 4]),
            integers("strides", &[1; 2]),
        ],
        Op::Input | Op::Relu | Op::Add | Op::Enlarge => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use apc_tests::SyntheticRun;
    use detector::engine::{Engine, TractEngine};
    use detector::network::{Backbone, Block, Variant};

    use crate::parity::relative;

    fn synthetic(block: Block, variant: Variant, size: Size) -> SyntheticRun {
        let default = SyntheticRun::default();
        let backbone = Backbone { block, variant, inner_factor: 2, blocks: vec![2, 1, 1], ..default.backbone };
        let input = detector::preprocess::Preprocess { size, ..default.input };
        SyntheticRun { backbone, input, ..default }
    }

    /// Both block kinds, both variants, an input that is not square.
    #[test]
    fn tract_computes_what_the_definition_says() {
        for block in [Block::Basic, Block::Bottleneck] {
            for variant in [Variant::Torchvision, Variant::Original] {
                let size = Size { height: 64, width: 96 };
                let run = synthetic(block, variant, size);
                let bytes = backbone(&run.network(), &run.weights(), size).unwrap();
                let input: Vec<f32> = (0..3 * 64 * 96).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
                let found = TractEngine::load(&bytes, size).unwrap().run(&input).unwrap();
                let expected = run.engine(run.weights()).run(&input).unwrap();
                assert_eq!(found.len(), 2);
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!((found.channels, found.height, found.width), (expected.channels, expected.height, expected.width));
                    let difference = relative(&found.values, &expected.values);
                    assert!(difference < 1e-5, "{block:?} {variant:?}: {difference}");
                }
            }
        }
    }

    /// Layers whose sizes are no multiples of each other; also in the fused graph, and in the int8 form, where the head stays in float.
    #[test]
    fn a_defect_head_is_written_like_any_other_part() {
        let size = Size { height: 72, width: 88 };
        let default = synthetic(Block::Basic, Variant::Torchvision, size);
        let run = SyntheticRun { backbone: Backbone { defect_units: Some(5), ..default.backbone.clone() }, ..default };
        let (network, weights) = (run.network(), run.weights());
        let input: Vec<f32> = (0..3 * 72 * 88).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
        let expected = run.engine(run.weights()).run(&input).unwrap();
        let float = backbone(&network, &weights, size).unwrap();
        let found = TractEngine::load(&float, size).unwrap().run(&input).unwrap();
        assert_eq!((found.len(), found[2].channels, found[2].width), (3, 1, found[0].width));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(relative(&found.values, &expected.values) < 1e-5);
        }

        let patches = detector::descriptor::PatchDescriptor::Concat.describe(&expected[..2]).unwrap();
        let bank = detector::bank::MemoryBank::new(&patches.values, patches.dims, Default::default()).unwrap();
        let onnx = fused(&network, &weights, size, &bank).unwrap();
        let found = crate::variants::engine(&onnx, size).unwrap().run(&input).unwrap();
        for (found, nearest) in found[0].values.iter().zip(bank.nearest(&patches.values, 1).unwrap()) {
            let expected = nearest.distance;
            assert!((found - expected).abs() < 1e-2 * expected.max(1.0), "{found} {expected}");
        }
        assert!(found.len() == 2 && relative(&found[1].values, &expected[2].values) < 1e-5);

        let seen = crate::variants::engine(&observer(&network, &weights, size).unwrap(), size).unwrap().run(&input).unwrap();
        let seen: Vec<Seen> = seen.iter().map(Seen::of).collect();
        let onnx = int8(&network, &weights, size, &seen, beginnings(&network)[0]).unwrap();
        let coarse = crate::variants::engine(&onnx, size).unwrap().run(&input).unwrap();
        let difference = relative(&coarse[2].values, &expected[2].values);
        assert!(difference > 0.0 && difference < 0.2, "{difference}");
    }

    #[test]
    fn names_are_torchvisions_and_never_twice() {
        let run = synthetic(Block::Bottleneck, Variant::Torchvision, Size { height: 64, width: 64 });
        let bytes = backbone(&run.network(), &run.weights(), run.input.size).unwrap();
        let graph = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
        let names: BTreeSet<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names.len(), graph.node.len());
        for name in ["conv1", "conv1.relu", "maxpool", "layer1.0.conv2", "layer1.0.downsample.0", "layer1.1.add", "layer1.1.relu"]
        {
            assert!(names.contains(name), "{name} not in {names:?}");
        }
        let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(outputs, ["layer2", "layer3"]);
    }

    #[test]
    fn the_same_weights_give_the_same_bytes() {
        let run = SyntheticRun::default();
        let write = || backbone(&run.network(), &run.weights(), run.input.size).unwrap();
        assert_eq!(write(), write());
    }

    #[test]
    fn too_small_an_input_is_refused() {
        let run = synthetic(Block::Basic, Variant::Original, Size { height: 64, width: 64 });
        let error = backbone(&run.network(), &run.weights(), Size { height: 2, width: 2 }).unwrap_err().to_string();
        assert!(error.contains("too small"), "{error}");
    }

    /// A bundle from somewhere else may say anything.
    #[test]
    fn groups_that_do_not_divide_the_channels_are_an_error() {
        let run = SyntheticRun::default();
        let onnx = backbone(&run.network(), &run.weights(), run.input.size).unwrap();
        let with_group = |group: i64| {
            let mut model = ModelProto::decode(&onnx[..]).unwrap();
            let nodes = &mut model.graph.as_mut().unwrap().node;
            let groups = nodes.iter_mut().flat_map(|node| &mut node.attribute).filter(|attribute| attribute.name == "group");
            groups.for_each(|attribute| attribute.i = group);
            TractEngine::load(&model.encode_to_vec(), run.input.size)
        };
        assert!(with_group(1).is_ok());
        for group in [0, -1, 2, 7, i64::MAX] {
            assert!(with_group(group).is_err(), "{group}");
        }
    }
}
