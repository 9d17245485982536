//! The backbone in int8: quantised weights, and ranges of activations from pictures.

use detector::descriptor::FeatureMap;
use detector::network::{Network, Node, Op};
use detector::preprocess::Size;
use detector::tensors::Tensors;
use detector::{Error, Result};
use tract_onnx::pb::GraphProto;

use super::float::{attributes, float, kernel_shape, push};
use super::proto::{encode, floats, int8s, int32s, integer, step, uint8};
use super::value::{Value, values};
use crate::fold::{Folded, fold};

/// Ranges are wider than the observed values by this factor: later values may be larger, and a value that is cut off changes a score by
/// more than coarser steps do.
const ROOM: f32 = 1.25;

/// Largest code of a bias: half of the range of 32 bits, the other half is left for the products.
const BIAS_CODES: f32 = (1 << 30) as f32;

/// Range and means of a node's results on some pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    /// Smallest value; at most zero, which must have a code of its own.
    low: f32,
    /// Largest value; at least zero.
    high: f32,
    /// Mean of each channel, `[channels]`.
    means: Vec<f64>,
    /// Number of maps.
    maps: usize,
}

impl Activations {
    /// Range and means of one map.
    pub fn of(map: &FeatureMap) -> Activations {
        let size = map.height * map.width;
        let mean = |channel: &[f32]| channel.iter().map(|value| f64::from(*value)).sum::<f64>() / size as f64;
        Activations {
            low: map.values.iter().copied().fold(0.0, f32::min),
            high: map.values.iter().copied().fold(0.0, f32::max),
            means: map.values.chunks_exact(size).map(mean).collect(),
            maps: 1,
        }
    }

    /// Joins the range and means of other maps of the same node.
    pub fn join(&mut self, other: &Activations) {
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

/// The nodes up to the last feature map. The defect head behind them is small and stays in float.
fn trunk(network: &Network) -> &[Node] {
    let last = network.outputs.iter().map(|output| output.node).max().unwrap_or(0);
    &network.nodes[..=last]
}

/// Nodes at which integers may start, the earliest first: each convolution but the stem, up to three quarters of them. The stem reads three
/// channels only, which is no faster in integers, and no later layer makes up for its rounding.
pub fn starts(network: &Network) -> Vec<usize> {
    let is_conv = |index: &usize| matches!(network.nodes[*index].op, Op::Conv(_));
    let convs: Vec<usize> = (0..trunk(network).len()).filter(is_conv).collect();
    convs[1..=convs.len() * 3 / 4].to_vec()
}

/// Nodes whose results become bytes when integers start at the node `start`: inputs of convolutions, and results of convolutions that are
/// added to a sum. The sums themselves stay in float, or each block would add its rounding to that of all blocks before it.
fn quantised(network: &Network, start: usize) -> Vec<usize> {
    let trunk = trunk(network);
    let is_conv = |index: usize| index >= start && matches!(trunk[index].op, Op::Conv(_));
    let is_read = |index: usize| {
        let mut readers = trunk.iter().enumerate().filter(|(_, node)| node.inputs.contains(&index));
        readers.any(|(reader, node)| is_conv(reader) || (is_conv(index) && node.op == Op::Add))
    };
    (0..trunk.len()).filter(|index| is_read(*index)).collect()
}

/// Nodes whose activations [`int8`] needs.
fn observed(network: &Network) -> Vec<usize> {
    starts(network).first().map_or_else(Vec::new, |start| quantised(network, *start))
}

/// Bytes of an ONNX file with the float backbone; its outputs are the results whose activations [`int8`] needs, in that order.
///
/// # Errors
/// When a weight does not fit the network or the input is too small for it.
pub fn observer(network: &Network, weights: &Tensors, input: Size) -> Result<Vec<u8>> {
    let (mut graph, values) = float(network, weights, input)?;
    graph.output = observed(network).into_iter().map(|index| values[index].info()).collect();
    Ok(encode(graph))
}

/// Bytes of an ONNX file with the backbone in int8 from one of its [`starts`] on, as pairs of `QuantizeLinear` and
/// `DequantizeLinear`: activations in unsigned bytes with ranges from the results of the [`observer`], weights in signed bytes with one
/// scale a channel, and biases corrected by the mean error of the rounded weights (Nagel et al., "Data-Free Quantization Through
/// Weight Equalization and Bias Correction", arXiv 1906.04721, section 4.2). The outputs are float.
///
/// # Errors
/// When a weight does not fit the network or the input is too small for it.
pub fn int8(network: &Network, weights: &Tensors, input: Size, activations: &[Activations], start: usize) -> Result<Vec<u8>> {
    let (trunk, values) = (trunk(network), values(network, input)?);
    let mut graph = GraphProto { name: "backbone.int8".into(), input: vec![values[0].info()], ..Default::default() };
    let mut known = vec![None; values.len()];
    for (index, activations) in observed(network).into_iter().zip(activations) {
        known[index] = Some(activations);
    }
    let quantised = quantised(network, start);
    let mut writer = Writer { graph: &mut graph, values: &values };
    for (index, node) in network.nodes.iter().enumerate() {
        let value = &values[index];
        match &node.op {
            Op::Conv(conv) if (start..trunk.len()).contains(&index) => {
                let from = node.inputs[0];
                let missing = || Error::invalid(format!("the activations that {} reads were not observed", conv.name));
                let input = known[from].ok_or_else(missing)?;
                let [weight, bias] = writer.weights(&value.node, &kernel_shape(conv), &fold(conv, weights)?, input);
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
            _ => push(writer.graph, node, value, &values, weights)?,
        }
        if let (true, Some(activations)) = (quantised.contains(&index), known[index]) {
            writer.quantise(index, activations);
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
    fn quantise(&mut self, index: usize, activations: &Activations) {
        let (scale, zero) = activations.codes();
        let name = &self.values[index].name;
        let (scale_name, zero_name, codes) = (format!("{name}.scale"), format!("{name}.zero"), format!("{name}.codes"));
        self.graph.initializer.extend([floats(&scale_name, &[], &[scale]), uint8(&zero_name, zero)]);
        let inputs = |from: &str| vec![from.to_string(), scale_name.clone(), zero_name.clone()];
        self.graph.node.push(step("QuantizeLinear", &codes, inputs(name), &codes));
        let read = read(&self.values[index]);
        self.graph.node.push(step("DequantizeLinear", &read, inputs(&codes), &read));
    }

    /// Adds weight and bias of a convolution in integers; returns the names under which the convolution reads them. A bias counts in steps of
    /// the products that it is added to.
    fn weights(&mut self, name: &str, shape: &[usize; 4], folded: &Folded, input: &Activations) -> [String; 2] {
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
        // The mean error of the rounded weights: for each input channel the error of its weights, times the channel's mean.
        let error = |kernel: &[f32], scale: f32| -> f64 {
            let of_channel =
                |weights: &[f32]| weights.iter().map(|value| f64::from(value - code(*value, scale) * scale)).sum::<f64>();
            kernel.chunks_exact(rows * columns).zip(&input.means).map(|(weights, mean)| of_channel(weights) * mean).sum()
        };
        let biases = folded.bias.iter().zip(kernels()).zip(&scales);
        let biases = biases.map(|((bias, kernel), scale)| f64::from(*bias) + error(kernel, *scale));
        let bias_scales: Vec<f32> = scales.iter().map(|scale| scale * input.codes().0).collect();
        // A conversion to an integer saturates.
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
            let activations = Activations::of(&map(values, 1));
            let (scale, zero) = activations.codes();
            assert!(activations.low <= 0.0 && activations.high >= 0.0 && scale > 0.0);
            let code = |value: f32| (value / scale).round_ties_even() + f32::from(zero);
            assert!(code(activations.low) >= 0.0 && code(activations.high) <= 255.0, "{activations:?}");
        }
        assert_eq!(Activations::of(&map(&[0.0, 255.0 / ROOM], 1)).codes(), (1.0, 0));
    }

    #[test]
    fn activations_of_several_maps_are_joined() {
        let mut activations = Activations::of(&map(&[1.0, 3.0, -2.0, 0.0], 2));
        assert_eq!((activations.low, activations.high, &activations.means[..]), (-2.0, 3.0, &[2.0, -1.0][..]));
        activations.join(&Activations::of(&map(&[5.0, 5.0, 2.0, 2.0], 2)));
        activations.join(&Activations::of(&map(&[2.0, 2.0, 2.0, 2.0], 2)));
        assert_eq!(
            (activations.low, activations.high, &activations.means[..], activations.maps),
            (-2.0, 5.0, &[3.0, 1.0][..], 3)
        );
    }

    /// Networks that were pruned have channels that are their bias alone.
    #[test]
    fn a_channel_without_weights_keeps_its_bias() {
        let mut graph = GraphProto::default();
        let folded = Folded { weight: vec![0.5, 0.0], bias: vec![0.25, 3.0] };
        let activations = Activations::of(&map(&[0.0, 1.0], 1));
        Writer { graph: &mut graph, values: &[] }.weights("conv", &[2, 1, 1, 1], &folded, &activations);
        let raw = |name: &str| graph.initializer.iter().find(|tensor| tensor.name == name).unwrap().raw_data.chunks_exact(4);
        let codes = raw("conv.bias.codes").map(|code| i32::from_le_bytes(code.try_into().unwrap()));
        let scales = raw("conv.bias.scales").map(|scale| f32::from_le_bytes(scale.try_into().unwrap()));
        let biases: Vec<f32> = codes.zip(scales).map(|(code, scale)| code as f32 * scale).collect();
        assert!(biases.iter().zip([0.25, 3.0]).all(|(found, expected)| (found - expected).abs() < 1e-4), "{biases:?}");
    }

    /// Both block kinds: the results are near the float network's, and the nearer the later integers start; without the correction of the
    /// biases they are further away.
    #[test]
    fn int8_is_near_float() {
        for block in [Block::Basic, Block::Bottleneck] {
            let default = SyntheticRun::default();
            let backbone = detector::network::Backbone { block, variant: Variant::Original, ..default.backbone.clone() };
            let run = SyntheticRun { backbone, ..default };
            let (network, weights, size) = (run.network(), run.weights(), run.input.size);
            let image: Vec<f32> = (0..3 * 64 * 64).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
            let load = |onnx: Vec<u8>| crate::engine::load(&onnx, size).unwrap();
            let activations = load(observer(&network, &weights, size).unwrap()).run(&image).unwrap();
            let activations: Vec<Activations> = activations.iter().map(Activations::of).collect();
            let expected = load(crate::onnx::backbone(&network, &weights, size).unwrap()).run(&image).unwrap();
            let difference = |activations: &[Activations], start: usize| {
                let found = load(int8(&network, &weights, size, activations, start).unwrap()).run(&image).unwrap();
                let pairs =
                    || found.iter().zip(&expected).flat_map(|(found, expected)| found.values.iter().zip(&expected.values));
                let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
                (square(&mut pairs().map(|(found, expected)| found - expected))
                    / square(&mut pairs().map(|(_, expected)| *expected)))
                .sqrt()
            };
            let all = starts(&network);
            let (first, last) = (all[0], all[all.len() - 1]);
            let early = difference(&activations, first);
            assert!(early > 1e-5 && early < 0.1, "{block:?}: {early}");
            assert!(first == last || difference(&activations, last) < early, "{block:?}");
            let without_means: Vec<Activations> = activations
                .iter()
                .map(|activations| Activations { means: vec![0.0; activations.means.len()], ..activations.clone() })
                .collect();
            assert!(difference(&without_means, first) > early, "{block:?}");
        }
    }
}
