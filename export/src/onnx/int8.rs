use detector::descriptor::FeatureMap;
use detector::network::{Network, Node, Op};
use detector::preprocess::Size;
use detector::tensors::Tensors;
use detector::{Error, Result};
use tract_onnx::pb::GraphProto;

use super::proto::{floats, int8s, int32s, integer, step, uint8};
use super::{Value, attributes, encode, kernel_shape, values};
use crate::fold::{Folded, fold};

/// Ranges are wider than what was seen by this factor: what comes later may be larger, and what is cut off changes a score by more than
/// coarser steps do.
const ROOM: f32 = 1.25;

/// Codes that a bias may have: half of those of 32 bits, the other half is left for the products.
const BIAS_CODES: f32 = (1 << 30) as f32;

/// What was seen of a node's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Smallest value; at most zero, which must have a code of its own.
    low: f32,
    /// Largest value; at least zero.
    high: f32,
    /// Mean of each channel, `[channels]`.
    means: Vec<f64>,
    /// Of so many maps.
    maps: usize,
}

impl Seen {
    /// In one map.
    pub fn of(map: &FeatureMap) -> Seen {
        let size = map.height * map.width;
        let mean = |channel: &[f32]| channel.iter().map(|value| f64::from(*value)).sum::<f64>() / size as f64;
        Seen {
            low: map.values.iter().copied().fold(0.0, f32::min),
            high: map.values.iter().copied().fold(0.0, f32::max),
            means: map.values.chunks_exact(size).map(mean).collect(),
            maps: 1,
        }
    }

    /// Adds what was seen in other maps of the same node.
    pub fn join(&mut self, other: &Seen) {
        (self.low, self.high) = (self.low.min(other.low), self.high.max(other.high));
        let (mine, theirs) = (self.maps as f64, other.maps as f64);
        for (mean, other) in self.means.iter_mut().zip(&other.means) {
            *mean = (*mean * mine + other * theirs) / (mine + theirs);
        }
        self.maps += other.maps;
    }

    /// Scale and zero point of unsigned bytes.
    fn codes(&self) -> (f32, u8) {
        let scale = (ROOM * (self.high - self.low) / 255.0).max(f32::MIN_POSITIVE);
        (scale, (-ROOM * self.low / scale).round_ties_even().clamp(0.0, 255.0) as u8)
    }
}

/// The nodes up to the last feature map. What follows, the defect head, is small and stays in float.
fn trunk(network: &Network) -> &[Node] {
    let last = network.outputs.iter().map(|output| output.node).max().unwrap_or(0);
    &network.nodes[..=last]
}

/// Where integers may begin, the earliest first: at each convolution but the stem, up to three quarters of them. The stem reads three channels
/// only, which is no faster in integers, and what it loses no later layer brings back.
pub fn beginnings(network: &Network) -> Vec<usize> {
    let is_conv = |index: &usize| matches!(network.nodes[*index].op, Op::Conv(_));
    let convs: Vec<usize> = (0..trunk(network).len()).filter(is_conv).collect();
    convs[1..=convs.len() * 3 / 4].to_vec()
}

/// Nodes whose results become bytes when integers begin at that node: what convolutions read, and what a convolution adds to a sum. The sums
/// themselves stay in float, or each block would add its rounding to that of all blocks before it.
fn quantised(network: &Network, begin: usize) -> Vec<usize> {
    let trunk = trunk(network);
    let is_conv = |index: usize| index >= begin && matches!(trunk[index].op, Op::Conv(_));
    let is_read = |index: usize| {
        let mut readers = trunk.iter().enumerate().filter(|(_, node)| node.inputs.contains(&index));
        readers.any(|(reader, node)| is_conv(reader) || (is_conv(index) && node.op == Op::Add))
    };
    (0..trunk.len()).filter(|index| is_read(*index)).collect()
}

/// Nodes of which [`int8`] must know what was seen.
fn observed(network: &Network) -> Vec<usize> {
    beginnings(network).first().map_or_else(Vec::new, |begin| quantised(network, *begin))
}

/// The float backbone with the results that [`int8`] must know as its outputs, in that order.
///
/// # Errors
/// As [`super::backbone`].
pub fn observer(network: &Network, weights: &Tensors, input: Size) -> Result<Vec<u8>> {
    let (mut graph, values) = super::float(network, weights, input)?;
    graph.output = observed(network).into_iter().map(|index| values[index].info()).collect();
    Ok(encode(graph))
}

/// Bytes of an ONNX file with the backbone in int8 from one of its [`beginnings`] on, as pairs of `QuantizeLinear` and
/// `DequantizeLinear`: activations in unsigned bytes with ranges from what the [`observer`] saw, weights in signed bytes with one scale a
/// channel, and biases that make good for what rounding the weights changes on average (Nagel et al., "Data-Free Quantization Through
/// Weight Equalization and Bias Correction", arXiv 1906.04721, section 4.2). The outputs are float.
///
/// # Errors
/// When a weight does not fit the network or the input is too small for it.
pub fn int8(network: &Network, weights: &Tensors, input: Size, seen: &[Seen], begin: usize) -> Result<Vec<u8>> {
    let (trunk, values) = (trunk(network), values(network, input)?);
    let mut graph = GraphProto { name: "backbone.int8".into(), input: vec![values[0].info()], ..Default::default() };
    let mut known = vec![None; values.len()];
    for (index, seen) in observed(network).into_iter().zip(seen) {
        known[index] = Some(seen);
    }
    let quantised = quantised(network, begin);
    let mut writer = Writer { graph: &mut graph, values: &values };
    for (index, node) in network.nodes.iter().enumerate() {
        let value = &values[index];
        match &node.op {
            Op::Conv(conv) if (begin..trunk.len()).contains(&index) => {
                let from = node.inputs[0];
                let seen = known[from].ok_or_else(|| Error::invalid(format!("nothing was seen of what {} reads", conv.name)))?;
                let [weight, bias] = writer.weights(&value.node, &kernel_shape(conv), &fold(conv, weights)?, seen);
                let mut made = step("Conv", &value.node, vec![read(&values[from]), weight, bias], &value.name);
                made.attribute = attributes(&node.op, value);
                writer.graph.node.push(made);
            }
            Op::Add if index < trunk.len() => {
                let of_conv = |from: &usize| quantised.contains(from) && matches!(network.nodes[*from].op, Op::Conv(_));
                let name = |from: &usize| if of_conv(from) { read(&values[*from]) } else { values[*from].name.clone() };
                let inputs = node.inputs.iter().map(name).collect();
                writer.graph.node.push(step("Add", &value.node, inputs, &value.name));
            }
            _ => super::push(writer.graph, node, value, &values, weights)?,
        }
        if let (true, Some(seen)) = (quantised.contains(&index), known[index]) {
            writer.quantise(index, seen);
        }
    }
    graph.output = network.results().map(|output| values[output.node].info()).collect();
    Ok(encode(graph))
}

/// Name under which a value's bytes are read.
fn read(value: &Value) -> String {
    format!("{}.read", value.name)
}

struct Writer<'a> {
    graph: &'a mut GraphProto,
    values: &'a [Value],
}

impl Writer<'_> {
    fn quantise(&mut self, index: usize, seen: &Seen) {
        let (scale, zero) = seen.codes();
        let name = &self.values[index].name;
        let (scale_name, zero_name, codes) = (format!("{name}.scale"), format!("{name}.zero"), format!("{name}.codes"));
        self.graph.initializer.extend([floats(&scale_name, &[], &[scale]), uint8(&zero_name, zero)]);
        let inputs = |from: &str| vec![from.to_string(), scale_name.clone(), zero_name.clone()];
        self.graph.node.push(step("QuantizeLinear", &codes, inputs(name), &codes));
        let read = read(&self.values[index]);
        self.graph.node.push(step("DequantizeLinear", &read, inputs(&codes), &read));
    }

    /// Weight and bias of a convolution in integers, and the names under which it reads them. A bias counts in steps of the
    /// products that it is added to.
    fn weights(&mut self, name: &str, shape: &[usize; 4], folded: &Folded, input: &Seen) -> [String; 2] {
        let [channels, _, rows, columns] = *shape;
        let kernels = || folded.weight.chunks_exact(shape[1..].iter().product());
        let largest = |kernel: &[f32]| kernel.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        // A bias must have a code where all weights are zero, too.
        let least = |bias: &f32| (bias.abs() / input.codes().0 / BIAS_CODES).max(f32::MIN_POSITIVE);
        let scales: Vec<f32> =
            kernels().zip(&folded.bias).map(|(kernel, bias)| (largest(kernel) / 127.0).max(least(bias))).collect();
        let code = |value: f32, scale: f32| (value / scale).round_ties_even().clamp(-127.0, 127.0);
        let codes: Vec<i8> =
            kernels().zip(&scales).flat_map(|(kernel, scale)| kernel.iter().map(|value| code(*value, *scale) as i8)).collect();
        // What rounding takes from the weights of each channel that is read, times what that channel is on average.
        let taken = |kernel: &[f32], scale: f32| -> f64 {
            let of_channel =
                |weights: &[f32]| weights.iter().map(|value| f64::from(value - code(*value, scale) * scale)).sum::<f64>();
            kernel.chunks_exact(rows * columns).zip(&input.means).map(|(weights, mean)| of_channel(weights) * mean).sum()
        };
        let biases = folded.bias.iter().zip(kernels()).zip(&scales);
        let biases = biases.map(|((bias, kernel), scale)| f64::from(*bias) + taken(kernel, *scale));
        let bias_scales: Vec<f32> = scales.iter().map(|scale| scale * input.codes().0).collect();
        // Conversion to an integer stops at its bounds.
        let bias_codes: Vec<i32> =
            biases.zip(&bias_scales).map(|(bias, scale)| (bias / f64::from(*scale)).round() as i32).collect();
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

    fn map(values: &[f32], channels: usize) -> FeatureMap {
        FeatureMap { values: values.to_vec(), channels, height: 1, width: values.len() / channels }
    }

    #[test]
    fn zero_has_a_code_of_its_own() {
        for values in [&[-1.0, 3.0][..], &[0.5, 2.0], &[-4.0, -1.0], &[0.0]] {
            let seen = Seen::of(&map(values, 1));
            let (scale, zero) = seen.codes();
            assert!(seen.low <= 0.0 && seen.high >= 0.0 && scale > 0.0);
            let code = |value: f32| (value / scale).round_ties_even() + f32::from(zero);
            assert!(code(seen.low) >= 0.0 && code(seen.high) <= 255.0, "{seen:?}");
        }
        assert_eq!(Seen::of(&map(&[0.0, 255.0 / ROOM], 1)).codes(), (1.0, 0));
    }

    #[test]
    fn what_was_seen_of_several_maps_is_joined() {
        let mut seen = Seen::of(&map(&[1.0, 3.0, -2.0, 0.0], 2));
        assert_eq!((seen.low, seen.high, &seen.means[..]), (-2.0, 3.0, &[2.0, -1.0][..]));
        seen.join(&Seen::of(&map(&[5.0, 5.0, 2.0, 2.0], 2)));
        seen.join(&Seen::of(&map(&[2.0, 2.0, 2.0, 2.0], 2)));
        assert_eq!((seen.low, seen.high, &seen.means[..], seen.maps), (-2.0, 5.0, &[3.0, 1.0][..], 3));
    }

    /// Networks that were pruned have channels that are their bias alone.
    #[test]
    fn a_channel_without_weights_keeps_its_bias() {
        let mut graph = GraphProto::default();
        let folded = Folded { weight: vec![0.5, 0.0], bias: vec![0.25, 3.0] };
        let seen = Seen::of(&map(&[0.0, 1.0], 1));
        Writer { graph: &mut graph, values: &[] }.weights("conv", &[2, 1, 1, 1], &folded, &seen);
        let raw = |name: &str| graph.initializer.iter().find(|tensor| tensor.name == name).unwrap().raw_data.chunks_exact(4);
        let codes = raw("conv.bias.codes").map(|code| i32::from_le_bytes(code.try_into().unwrap()));
        let scales = raw("conv.bias.scales").map(|scale| f32::from_le_bytes(scale.try_into().unwrap()));
        let biases: Vec<f32> = codes.zip(scales).map(|(code, scale)| code as f32 * scale).collect();
        assert!(biases.iter().zip([0.25, 3.0]).all(|(found, expected)| (found - expected).abs() < 1e-4), "{biases:?}");
    }

    /// Both block kinds: what comes out is near the float network's, and the nearer the later integers begin; a bias makes good for what
    /// rounding the weights takes.
    #[test]
    fn int8_is_near_float() {
        for block in [Block::Basic, Block::Bottleneck] {
            let default = SyntheticRun::default();
            let backbone = detector::network::Backbone { block, variant: Variant::Original, ..default.backbone.clone() };
            let run = SyntheticRun { backbone, ..default };
            let (network, weights, size) = (run.network(), run.weights(), run.input.size);
            let image: Vec<f32> = (0..3 * 64 * 64).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
            let load = |onnx: Vec<u8>| crate::variants::engine(&onnx, size).unwrap();
            let seen = load(observer(&network, &weights, size).unwrap()).run(&image).unwrap();
            let seen: Vec<Seen> = seen.iter().map(Seen::of).collect();
            let expected = load(crate::onnx::backbone(&network, &weights, size).unwrap()).run(&image).unwrap();
            let difference = |seen: &[Seen], begin: usize| {
                let found = load(int8(&network, &weights, size, seen, begin).unwrap()).run(&image).unwrap();
                let pairs =
                    || found.iter().zip(&expected).flat_map(|(found, expected)| found.values.iter().zip(&expected.values));
                let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
                (square(&mut pairs().map(|(found, expected)| found - expected))
                    / square(&mut pairs().map(|(_, expected)| *expected)))
                .sqrt()
            };
            let beginnings = beginnings(&network);
            let (first, last) = (beginnings[0], beginnings[beginnings.len() - 1]);
            let early = difference(&seen, first);
            assert!(early > 1e-5 && early < 0.1, "{block:?}: {early}");
            assert!(first == last || difference(&seen, last) < early, "{block:?}");
            let without_means: Vec<Seen> =
                seen.iter().map(|seen| Seen { means: vec![0.0; seen.means.len()], ..seen.clone() }).collect();
            assert!(difference(&without_means, first) > early, "{block:?}");
        }
    }
}
