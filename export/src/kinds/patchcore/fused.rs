//! Network, patch descriptors and memory bank in one ONNX graph, for GPUs.

use detector::Result;
use detector::bank::MemoryBank;
use detector::descriptor::bilinear;
use detector::network::Network;
use detector::preprocess::Size;
use detector::tensors::{Tensors, Values};
use tract_onnx::pb::GraphProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::onnx::proto::{encode, float, floats, info, int8s, int64s, integer, integers, step, transposed};
use crate::onnx::{self, Value};

/// Most bank vectors that are compared at once: the products of 1,024 patches then take 16 MiB, whatever the bank's size.
const CHUNK: usize = 4096;
/// A row of products is cut into so many parts. They are compared element by element, and only the remaining part is reduced: a GPU compares
/// at its memory's speed and reduces slowly.
const PARTS: usize = 8;

/// Bytes of an ONNX file that takes a normalised image and gives `distances [batch, 1, rows, columns]`, of each patch to the nearest
/// bank vector, and the logits of the network's defect head, if it has one, in the same shape. Distances are `|q|² - 2 q·b + |b|²`
/// around the bank's mean, chunk by chunk of the bank, so that no matrix grows with it.
///
/// # Errors
/// When a weight does not fit the network, or the bank's vectors do not fit its layers.
pub fn fused(network: &Network, weights: &Tensors, input: Size, bank: &MemoryBank) -> Result<Vec<u8>> {
    in_chunks(network, weights, input, bank, CHUNK)
}

fn in_chunks(network: &Network, weights: &Tensors, input: Size, bank: &MemoryBank, chunk: usize) -> Result<Vec<u8>> {
    let (graph, values) = onnx::float(network, weights, input)?;
    let layers: Vec<&Value> = network.outputs.iter().map(|output| &values[output.node]).collect();
    let dims: usize = layers.iter().map(|layer| layer.shape[0]).sum();
    if dims != bank.dims() {
        let found = bank.dims();
        return Err(detector::Error::invalid(format!(
            "the layers have {dims} channels, the memory bank's vectors {found} values"
        )));
    }
    let mut writer = Writer { graph };
    let queries = writer.queries(&layers, dims);
    let norms = writer.node("ReduceSumSquare", "queries.norms", &[&queries]);
    writer.reduce(&[1], false);
    let nearest = writer.nearest(&queries, bank, chunk)?;
    let squared = writer.node("Add", "squared", &[&nearest, &norms]);
    // Rounding may leave a distance of zero below zero. NaN must stay NaN: ReLU would make it zero.
    let positive = writer.node("Abs", "positive", &[&squared]);
    let flat = writer.node("Sqrt", "flat", &[&positive]);
    let [_, rows, columns] = layers[0].shape;
    writer.graph.initializer.push(int64s("grid", &[-1, 1, rows as i64, columns as i64]));
    let distances = writer.node("Reshape", "distances", &[&flat, "grid"]);
    let Writer { mut graph } = writer;
    graph.name = "detector".into();
    graph.output = vec![info(&distances, &[1, rows, columns])];
    graph.output.extend(network.defects.iter().map(|output| info(&values[output.node].name, &[1, rows, columns])));
    Ok(encode(graph))
}

struct Writer {
    graph: GraphProto,
}

impl Writer {
    /// Adds a node; its name is that of its output.
    fn node(&mut self, op: &str, name: &str, inputs: &[&str]) -> String {
        let inputs = inputs.iter().map(|input| (*input).to_string()).collect();
        self.graph.node.push(step(op, name, inputs, name));
        name.into()
    }

    /// Sets the attributes of the last node.
    fn with(&mut self, attributes: impl IntoIterator<Item = tract_onnx::pb::AttributeProto>) {
        if let Some(node) = self.graph.node.last_mut() {
            node.attribute = attributes.into_iter().collect();
        }
    }

    fn reduce(&mut self, axes: &[usize], keep: bool) {
        self.with([integers("axes", axes), integer("keepdims", i64::from(keep))]);
    }

    /// The descriptors as rows, less the bank's mean.
    fn queries(&mut self, layers: &[&Value], dims: usize) -> String {
        let [_, height, width] = layers[0].shape;
        let mut maps = Vec::new();
        for layer in layers {
            let name = &layer.name;
            let mut map = self.node("AveragePool", &format!("{name}.mean"), &[name]);
            let pads = [1; 4];
            self.with([
                integers("kernel_shape", &[3; 2]),
                integers("pads", &pads),
                integers("strides", &[1; 2]),
                integer("count_include_pad", 1),
            ]);
            // Enlarging is linear along each axis: two small matrices, and nothing depends on a runtime's rules for `Resize`.
            if layer.shape[2] != width {
                let weights = transposed(&bilinear(layer.shape[2], width), layer.shape[2]);
                self.graph.initializer.push(floats(&format!("{name}.columns"), &[layer.shape[2], width], &weights));
                map = self.node("MatMul", &format!("{name}.wide"), &[&map, &format!("{name}.columns")]);
            }
            if layer.shape[1] != height {
                self.graph.initializer.push(floats(
                    &format!("{name}.rows"),
                    &[height, layer.shape[1]],
                    &bilinear(layer.shape[1], height),
                ));
                map = self.node("MatMul", &format!("{name}.large"), &[&format!("{name}.rows"), &map]);
            }
            maps.push(map);
        }
        let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
        let maps = self.node("Concat", "patches.maps", &maps);
        self.with([integer("axis", 1)]);
        let last = self.node("Transpose", "patches.last", &[&maps]);
        self.with([integers("perm", &[0, 2, 3, 1])]);
        self.graph.initializer.push(int64s("patches.shape", &[-1, dims as i64]));
        let patches = self.node("Reshape", "patches", &[&last, "patches.shape"]);
        self.node("Sub", "queries", &[&patches, "bank.mean"])
    }

    /// `min |b|² - 2 q·b` over the bank. Chunks are of one size; the last one repeats the last vector.
    fn nearest(&mut self, queries: &str, bank: &MemoryBank, chunk: usize) -> Result<String> {
        let dims = bank.dims();
        let stored = bank.to_tensors();
        let vectors = &stored.tensors["vectors"].values;
        let (mean, scales) = match vectors {
            Values::I8(_) => (stored.f32("mean", &[dims])?.to_vec(), stored.f32("scales", &[bank.len()])?),
            Values::F32(_) => (vec![0.0; dims], &[][..]),
        };
        self.graph.initializer.push(floats("bank.mean", &[dims], &mean));
        let chunks = bank.len().div_ceil(chunk);
        let size = bank.len().div_ceil(chunks).next_multiple_of(PARTS);
        let mut least: Option<String> = None;
        for index in 0..chunks {
            let rows: Vec<usize> = (index * size..(index + 1) * size).map(|row| row.min(bank.len() - 1)).collect();
            let name = format!("bank.{index}");
            let centred: Vec<f32> = match vectors {
                Values::F32(values) => {
                    let values: Vec<f32> = rows.iter().flat_map(|row| &values[row * dims..(row + 1) * dims]).copied().collect();
                    self.graph.initializer.push(floats(&name, &[size, dims], &values));
                    values
                }
                Values::I8(codes) => {
                    // Bytes in the file; runtimes multiply them out once, when they load it.
                    let codes: Vec<i8> = rows.iter().flat_map(|row| &codes[row * dims..(row + 1) * dims]).copied().collect();
                    let scales: Vec<f32> = rows.iter().map(|row| scales[*row]).collect();
                    self.graph.initializer.push(int8s(&format!("{name}.codes"), &[size, dims], &codes));
                    self.graph.initializer.push(floats(&format!("{name}.scales"), &[size, 1], &scales));
                    self.node("Cast", &format!("{name}.cast"), &[&format!("{name}.codes")]);
                    self.with([integer("to", DataType::Float as i64)]);
                    self.node("Mul", &name, &[&format!("{name}.cast"), &format!("{name}.scales")]);
                    let scaled =
                        |(codes, scale): (&[i8], f32)| codes.iter().map(|code| scale * f32::from(*code)).collect::<Vec<_>>();
                    codes.chunks_exact(dims).zip(scales).flat_map(scaled).collect()
                }
            };
            let norm = |vector: &[f32]| vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>() as f32;
            let norms: Vec<f32> = centred.chunks_exact(dims).map(norm).collect();
            self.graph.initializer.push(floats(&format!("{name}.norms"), &[size], &norms));
            let products = self.node("Gemm", &format!("{name}.products"), &[queries, &name, &format!("{name}.norms")]);
            self.with([float("alpha", -2.0), float("beta", 1.0), integer("transB", 1)]);
            least = Some(match least {
                None => products,
                Some(least) => self.node("Min", &format!("{name}.least"), &[&least, &products]),
            });
        }
        let least = least.ok_or_else(|| detector::Error::invalid("the memory bank is empty"))?;
        let parts: Vec<String> = (0..PARTS).map(|part| format!("least.{part}")).collect();
        let mut split = step("Split", "least.parts", vec![least], &parts[0]);
        split.output.clone_from(&parts);
        split.attribute = vec![integer("axis", 1)];
        self.graph.node.push(split);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let few = self.node("Min", "least.few", &parts);
        let nearest = self.node("ReduceMin", "nearest", &[&few]);
        self.reduce(&[1], false);
        Ok(nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use apc_tests::SyntheticRun;
    use detector::bank::Quantisation;
    use detector::descriptor::PatchDescriptor;
    use detector::engine::{Engine, TractEngine};
    use detector::network::Backbone;

    use crate::gate::relative;

    /// Against the separate parts, with a bank that the last chunk does not fill; layers whose sizes are no multiples.
    #[test]
    fn distances_are_those_of_descriptor_and_bank() {
        let run = SyntheticRun::default();
        let (network, weights, size) = (run.network(), run.weights(), Size { height: 72, width: 88 });
        let backbone = crate::onnx::backbone(&network, &weights, size).unwrap();
        let mut backbone = TractEngine::load(&backbone, size).unwrap();
        let image =
            |seed: usize| -> Vec<f32> { (0..3 * 72 * 88).map(|i| ((i * (7919 + seed)) % 997) as f32 / 250.0 - 2.0).collect() };
        let mut describe = |seed| PatchDescriptor::Concat.describe(&backbone.run(&image(seed)).unwrap()).unwrap();
        let (first, other) = (describe(0), describe(60));
        for quantisation in [Quantisation::Int8, Quantisation::F32] {
            let bank = MemoryBank::new(&first.values, first.dims, quantisation).unwrap();
            let expected: Vec<f32> = bank.nearest(&other.values, 1).unwrap().iter().map(|found| found.distance).collect();
            for chunk in [CHUNK, 50] {
                let onnx = in_chunks(&network, &weights, size, &bank, chunk).unwrap();
                let outputs = crate::engine::load(&onnx, size).unwrap().run(&image(60)).unwrap();
                let [distances] = &outputs[..] else { panic!("{} outputs", outputs.len()) };
                assert_eq!((distances.height, distances.width), (other.height, other.width));
                let difference = relative(&distances.values, &expected);
                assert!(difference < 1e-3, "{quantisation:?} {chunk}: {difference}");
            }
        }
        let wrong = MemoryBank::new(&[1.0; 6], 3, Quantisation::F32).unwrap();
        assert!(fused(&network, &weights, size, &wrong).unwrap_err().to_string().contains("channels"));
    }
    #[test]
    fn the_defect_heads_logits_are_the_second_result() {
        let (size, default) = (Size { height: 72, width: 88 }, SyntheticRun::default());
        let run = SyntheticRun { backbone: Backbone { defect_units: Some(5), ..default.backbone.clone() }, ..default };
        let (network, weights) = (run.network(), run.weights());
        let image: Vec<f32> = (0..3 * 72 * 88).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
        let backbone = onnx::backbone(&network, &weights, size).unwrap();
        let expected = TractEngine::load(&backbone, size).unwrap().run(&image).unwrap();
        let patches = PatchDescriptor::Concat.describe(&expected[..2]).unwrap();
        let bank = MemoryBank::new(&patches.values, patches.dims, Quantisation::default()).unwrap();
        let onnx = fused(&network, &weights, size, &bank).unwrap();
        let found = crate::engine::load(&onnx, size).unwrap().run(&image).unwrap();
        let [distances, logits] = &found[..] else { panic!("{} results", found.len()) };
        for (found, nearest) in distances.values.iter().zip(bank.nearest(&patches.values, 1).unwrap()) {
            let expected = nearest.distance;
            assert!((found - expected).abs() < 1e-2 * expected.max(1.0), "{found} {expected}");
        }
        assert!(relative(&logits.values, &expected[2].values) < 1e-5);
    }
}
