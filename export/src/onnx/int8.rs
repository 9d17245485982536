use detector::Result;
use detector::network::{Network, Node, Op};
use detector::preprocess::Size;
use detector::tensors::Tensors;
use tract_onnx::pb::GraphProto;

use super::proto::{floats, int8s, int32s, integer, step, uint8};
use super::{Value, attributes, encode, kernel_shape, values};
use crate::fold::fold;

/// Smallest and largest value that was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest; at most zero, which must have a code of its own.
    pub low: f32,
    /// Largest; at least zero.
    pub high: f32,
}

impl Range {
    /// Of values.
    pub fn of(values: &[f32]) -> Range {
        let low = values.iter().copied().fold(0.0, f32::min);
        Range { low, high: values.iter().copied().fold(0.0, f32::max) }
    }

    /// Scale and zero point of unsigned bytes.
    fn codes(self) -> (f32, u8) {
        let scale = ((self.high - self.low) / 255.0).max(f32::MIN_POSITIVE);
        (scale, (-self.low / scale).round_ties_even().clamp(0.0, 255.0) as u8)
    }
}

/// The nodes up to the last feature map. What follows, the defect head, is small and stays in float.
fn trunk(network: &Network) -> &[Node] {
    let last = network.outputs.iter().map(|output| output.node).max().unwrap_or(0);
    &network.nodes[..=last]
}

/// Nodes whose results are quantised. What only a rectifier reads stays as it is: the two are one operation.
pub fn observed(network: &Network) -> Vec<usize> {
    let trunk = trunk(network);
    let only_rectified = |index: usize| {
        let mut readers = trunk.iter().filter(|node| node.inputs.contains(&index)).peekable();
        readers.peek().is_some() && readers.all(|node| node.op == Op::Relu)
    };
    let is_read = |index: usize| trunk.iter().any(|node| node.inputs.contains(&index));
    (0..trunk.len()).filter(|index| is_read(*index) && !only_rectified(*index)).collect()
}

/// The float backbone with every [`observed`] result but the image as an output, to see their ranges.
///
/// # Errors
/// As [`super::backbone`].
pub fn observer(network: &Network, weights: &Tensors, input: Size) -> Result<Vec<u8>> {
    let (mut graph, values) = super::float(network, weights, input)?;
    graph.output = observed(network).into_iter().filter(|index| *index > 0).map(|index| values[index].info()).collect();
    Ok(encode(graph))
}

/// Bytes of an ONNX file with the backbone in int8, as pairs of `QuantizeLinear` and `DequantizeLinear`: activations in unsigned bytes
/// with the given ranges (one for each [`observed`] result), weights in signed bytes with one scale a channel. The outputs are float.
///
/// # Errors
/// When a weight does not fit the network or the input is too small for it.
pub fn int8(network: &Network, weights: &Tensors, input: Size, ranges: &[Range]) -> Result<Vec<u8>> {
    let (trunk, values) = (trunk(network), values(network, input)?);
    let mut graph = GraphProto { name: "backbone.int8".into(), input: vec![values[0].info()], ..Default::default() };
    let mut scales = vec![None; values.len()];
    for (index, range) in observed(network).into_iter().zip(ranges) {
        scales[index] = Some(range.codes());
    }
    for (index, node) in trunk.iter().enumerate() {
        // Pooling picks values: their codes stay.
        if let Op::MaxPool { .. } = node.op {
            scales[index] = scales[node.inputs[0]];
        }
    }
    let mut writer = Writer { graph: &mut graph, values: &values, scales: &scales };
    for (index, node) in trunk.iter().enumerate() {
        let mut inputs: Vec<String> = node.inputs.iter().map(|i| writer.read(*i)).collect();
        let value = &values[index];
        if let Op::Conv(conv) = &node.op {
            let folded = fold(conv, weights)?;
            let scale = scales[node.inputs[0]].map_or(1.0, |(scale, _)| scale);
            inputs.extend(writer.weights(&value.node, &kernel_shape(conv), &folded.weight, &folded.bias, scale));
        }
        let op = match node.op {
            Op::Input | Op::Mean | Op::Enlarge => None,
            Op::Conv(_) => Some("Conv"),
            Op::MaxPool { .. } => Some("MaxPool"),
            Op::Relu => Some("Relu"),
            Op::Add => Some("Add"),
        };
        if let Some(op) = op {
            let mut made = step(op, &value.node, inputs, &value.name);
            made.attribute = attributes(&node.op, value);
            writer.graph.node.push(made);
        }
        writer.quantise(index);
    }
    for (node, value) in network.nodes.iter().zip(&values).skip(trunk.len()) {
        super::push(&mut graph, node, value, &values, weights)?;
    }
    graph.output = network.results().map(|output| values[output.node].info()).collect();
    Ok(encode(graph))
}

struct Writer<'a> {
    graph: &'a mut GraphProto,
    values: &'a [Value],
    scales: &'a [Option<(f32, u8)>],
}

impl Writer<'_> {
    /// Name under which a node's result is read.
    fn read(&self, index: usize) -> String {
        let name = &self.values[index].name;
        if self.scales[index].is_some() { format!("{name}.read") } else { name.clone() }
    }

    fn quantise(&mut self, index: usize) {
        let Some((scale, zero)) = self.scales[index] else { return };
        let name = &self.values[index].name;
        let (scale_name, zero_name, codes) = (format!("{name}.scale"), format!("{name}.zero"), format!("{name}.codes"));
        self.graph.initializer.extend([floats(&scale_name, &[], &[scale]), uint8(&zero_name, zero)]);
        let inputs = |from: &str| vec![from.to_string(), scale_name.clone(), zero_name.clone()];
        self.graph.node.push(step("QuantizeLinear", &codes, inputs(name), &codes));
        let read = self.read(index);
        self.graph.node.push(step("DequantizeLinear", &read, inputs(&codes), &read));
    }

    /// Weight and bias of a convolution in integers, and the names under which it reads them. A bias counts in steps of the
    /// products that it is added to.
    fn weights(&mut self, name: &str, shape: &[usize; 4], weight: &[f32], bias: &[f32], input: f32) -> [String; 2] {
        let size = shape[1..].iter().product();
        let largest = |kernel: &[f32]| kernel.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let scales: Vec<f32> = weight.chunks_exact(size).map(|kernel| (largest(kernel) / 127.0).max(1e-12)).collect();
        let code = |(kernel, scale): (&[f32], &f32)| {
            kernel.iter().map(|value| (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8).collect::<Vec<_>>()
        };
        let codes: Vec<i8> = weight.chunks_exact(size).zip(&scales).flat_map(code).collect();
        let bias_scales: Vec<f32> = scales.iter().map(|scale| scale * input).collect();
        // Conversion to an integer stops at its bounds.
        let bias_codes: Vec<i32> =
            bias.iter().zip(&bias_scales).map(|(bias, scale)| (f64::from(*bias) / f64::from(*scale)).round() as i32).collect();
        let channels = shape[0];
        let of = |part: &str| format!("{name}.{part}");
        self.graph.initializer.extend([
            int8s(&of("weight.codes"), shape, &codes),
            floats(&of("weight.scales"), &[channels], &scales),
            int8s(&of("weight.zero"), &[channels], &vec![0; channels]),
            int32s(&of("bias.codes"), &[channels], &bias_codes),
            floats(&of("bias.scales"), &[channels], &bias_scales),
            int32s(&of("bias.zero"), &[channels], &vec![0; channels]),
        ]);
        for part in ["weight", "bias"] {
            let scales = of(&format!("{part}.scales"));
            let inputs = vec![of(&format!("{part}.codes")), scales, of(&format!("{part}.zero"))];
            let mut node = step("DequantizeLinear", &of(part), inputs, &of(part));
            node.attribute = vec![integer("axis", 0)];
            self.graph.node.push(node);
        }
        [of("weight"), of("bias")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use apc_tests::SyntheticRun;
    use detector::engine::Engine;
    use detector::network::{Block, Variant};

    use crate::parity::relative;

    #[test]
    fn zero_has_a_code_of_its_own() {
        for values in [&[-1.0, 3.0][..], &[0.5, 2.0], &[-4.0, -1.0], &[0.0]] {
            let range = Range::of(values);
            let (scale, zero) = range.codes();
            assert!(range.low <= 0.0 && range.high >= 0.0 && scale > 0.0);
            let code = |value: f32| (value / scale).round_ties_even() + f32::from(zero);
            assert!(code(range.low) >= -1.0 && code(range.high) <= 256.0, "{range:?}");
        }
        assert_eq!(Range::of(&[0.0, 255.0]).codes(), (1.0, 0));
    }

    /// Both block kinds; what comes out is near the float network's, and not the same.
    #[test]
    fn int8_is_near_float() {
        for block in [Block::Basic, Block::Bottleneck] {
            let default = SyntheticRun::default();
            let backbone = detector::network::Backbone { block, variant: Variant::Original, ..default.backbone.clone() };
            let run = SyntheticRun { backbone, ..default };
            let (network, weights, size) = (run.network(), run.weights(), run.input.size);
            let image: Vec<f32> = (0..3 * 64 * 64).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
            let load = |onnx: Vec<u8>| crate::variants::engine(&onnx, size).unwrap();
            let mut ranges = vec![Range::of(&image)];
            let results = load(observer(&network, &weights, size).unwrap()).run(&image).unwrap();
            ranges.extend(results.iter().map(|result| Range::of(&result.values)));
            assert_eq!(ranges.len(), observed(&network).len());
            let expected = load(crate::onnx::backbone(&network, &weights, size).unwrap()).run(&image).unwrap();
            let found = load(int8(&network, &weights, size, &ranges).unwrap()).run(&image).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                let difference = relative(&found.values, &expected.values);
                assert!(difference > 1e-5 && difference < 0.1, "{block:?}: {difference}");
            }
        }
    }
}
