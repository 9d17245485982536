//! The float backbone as an ONNX graph.

use detector::Result;
use detector::descriptor::bilinear;
use detector::network::{Conv, Network, Node, Op};
use detector::preprocess::Size;
use detector::tensors::Tensors;
use tract_onnx::pb::{AttributeProto, GraphProto};

use super::proto::{encode, floats, integer, integers, step, transposed};
use super::value::{Value, values};
use crate::fold::fold;

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

/// The float backbone without its outputs, and the results of the network's nodes.
///
/// # Errors
/// As [`backbone`].
pub fn float(network: &Network, weights: &Tensors, input: Size) -> Result<(GraphProto, Vec<Value>)> {
    let values = values(network, input)?;
    let mut graph = GraphProto { name: "backbone".into(), input: vec![values[0].info()], ..Default::default() };
    for (node, value) in network.nodes.iter().zip(&values) {
        push(&mut graph, node, value, &values, weights)?;
    }
    Ok((graph, values))
}

/// Adds one of the network's nodes in float.
///
/// # Errors
/// When a weight does not fit the network.
pub fn push(graph: &mut GraphProto, node: &Node, value: &Value, values: &[Value], weights: &Tensors) -> Result<()> {
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

/// Shape of a convolution's weight.
pub fn kernel_shape(conv: &Conv) -> [usize; 4] {
    [conv.output, conv.input, conv.kernel, conv.kernel]
}

/// Attributes of a node.
pub fn attributes(op: &Op, value: &Value) -> Vec<AttributeProto> {
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
