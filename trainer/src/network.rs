//! Runs the detector's description of the backbone with libtorch.

use std::collections::BTreeMap;

use detector::network::{BATCH_NORM_EPSILON, Backbone, Network, Op};
use detector::tensors::Tensors;
use detector::{Error, Result};
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor, no_grad};

/// Tensors by name: parameters, or an optimiser's state.
pub type Named = BTreeMap<String, Tensor>;

/// How batch normalisation treats its statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// The stored statistics are used, as on the camera.
    Frozen,
    /// The statistics of the batch are used, and the stored ones follow them.
    Trained,
}

/// The arithmetic of convolutions. Operands and results are in single precision either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Single precision on every device, without gradients: a GPU does not round to TF32's ten bits.
    Exact,
    /// Single precision; on a GPU libtorch may round to TF32.
    Single,
    /// bfloat16: the range of single precision, so that gradients need no scaling (Kalamkar et al., arXiv 1905.12322).
    Mixed,
}

impl Precision {
    /// A convolution without bias.
    fn conv2d(self, input: &Tensor, weight: &Tensor, stride: i64, padding: i64) -> Tensor {
        let conv = |input: &Tensor, weight: &Tensor| input.conv2d::<&Tensor>(weight, None, [stride; 2], [padding; 2], [1, 1], 1);
        match self {
            Precision::Exact => exact_conv2d(input, weight, stride, padding),
            Precision::Single => conv(input, weight),
            Precision::Mixed => conv(&input.to_kind(Kind::BFloat16), &weight.to_kind(Kind::BFloat16)).to_kind(Kind::Float),
        }
    }
}

/// A convolution without bias and without gradients, in single precision on every device.
pub fn exact_conv2d(input: &Tensor, weight: &Tensor, stride: i64, padding: i64) -> Tensor {
    let (transposed, benchmark, deterministic, cudnn, tf32) = (false, false, false, true, false);
    input.internal_convolution::<&Tensor>(
        weight,
        None,
        [stride; 2],
        [padding; 2],
        [1, 1],
        transposed,
        [0, 0],
        1,
        benchmark,
        deterministic,
        cudnn,
        tf32,
    )
}

/// The network's results `[batch, channels, height, width]`, in their order, for `[batch, 3, height, width]`; without gradients.
pub fn forward(network: &Network, parameters: &Named, image: &Tensor, norms: Norms) -> Vec<Tensor> {
    no_grad(|| forward_in(Precision::Exact, network, parameters, image, norms))
}

/// As [`forward`], with a choice of arithmetic and with gradients.
pub fn forward_in(precision: Precision, network: &Network, parameters: &Named, image: &Tensor, norms: Norms) -> Vec<Tensor> {
    let mut values: Vec<Tensor> = Vec::with_capacity(network.nodes.len());
    for node in &network.nodes {
        let input = |i: usize| &values[node.inputs[i]];
        values.push(match &node.op {
            Op::Input => image.shallow_clone(),
            Op::Conv(conv) => {
                let get = |name: &str| &parameters[&format!("{}.{name}", conv.norm)];
                let (stride, padding) = (conv.stride as i64, conv.padding() as i64);
                let weight = &parameters[&format!("{}.weight", conv.name)];
                let y = precision.conv2d(input(0), weight, stride, padding);
                let (mean, var) = (get("running_mean"), get("running_var"));
                let train = norms == Norms::Trained;
                let (weight, bias) = (get("weight"), get("bias"));
                y.batch_norm(Some(weight), Some(bias), Some(mean), Some(var), train, 0.1, BATCH_NORM_EPSILON, true)
            }
            Op::MaxPool { padding, ceil } => input(0).max_pool2d([3, 3], [2, 2], [*padding as i64; 2], [1, 1], *ceil),
            Op::Mean => mean(input(0)),
            Op::Enlarge => enlarge(input(0), input(1)),
            Op::Add => input(0) + input(1),
            Op::Relu => input(0).relu(),
        });
    }
    network.results().map(|output| values[output.node].shallow_clone()).collect()
}

/// Mean over 3x3 neighbours, zeros outside counted.
pub fn mean(map: &Tensor) -> Tensor {
    map.avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None)
}

/// Bilinear enlarging (half-pixel centres) to the size of another map.
pub fn enlarge(map: &Tensor, like: &Tensor) -> Tensor {
    map.upsample_bilinear2d(&like.size()[2..], false, None, None)
}

/// Weights for learning from scratch: convolutions as in He et al. (arXiv 1502.01852), normalisations neutral.
///
/// # Errors
/// When the description is unsound.
pub fn random_weights(backbone: &Backbone, seed: u64) -> Result<Tensors> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut weights = Tensors::default();
    for (name, shape) in backbone.network()?.parameters() {
        let count = shape.iter().product();
        let values = match (name.rsplit('.').next(), shape.len()) {
            (_, 4) => {
                let deviation = (2.0 / (shape[0] * shape[2] * shape[3]) as f64).sqrt();
                (0..count).map(|_| (normal(&mut random) * deviation) as f32).collect()
            }
            (Some("weight" | "running_var"), _) => vec![1.0; count],
            _ => vec![0.0; count],
        };
        weights.insert(name, shape, values);
    }
    Ok(weights)
}

/// A normally distributed number (Box-Muller).
pub fn normal(random: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Copies the network's parameters to a device.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn upload(network: &Network, weights: &Tensors, device: Device) -> Result<Named> {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let shape_i64: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        let values = Tensor::from_slice(weights.f32(&name, &shape)?).reshape(shape_i64).to_device(device);
        Ok((name, values))
    };
    network.parameters().into_iter().map(tensor).collect()
}

/// Copies named tensors from the device.
///
/// # Errors
/// When a tensor is not single precision.
pub fn download(named: &Named) -> Result<Tensors> {
    let mut tensors = Tensors::default();
    for (name, tensor) in named {
        let shape: Vec<usize> = tensor.size().iter().map(|size| *size as usize).collect();
        tensors.insert(name.clone(), shape, to_vec(tensor)?);
    }
    Ok(tensors)
}

/// All values of a tensor, row-major.
///
/// # Errors
/// When libtorch cannot copy it.
pub fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    Vec::<f32>::try_from(&flat).map_err(|error| Error::invalid(format!("libtorch cannot copy a tensor: {error}")))
}

/// The device that a recipe names.
///
/// # Errors
/// When the name is unknown or libtorch finds no such device; the CPU never takes its place silently.
pub fn device(name: &str) -> Result<Device> {
    let missing =
        || Error::invalid(format!("device {name:?}: libtorch finds no such CUDA device; choose another device, or cpu"));
    let cuda = |index: usize| match index < tch::Cuda::device_count().max(0) as usize && tch::Cuda::is_available() {
        true => Ok(Device::Cuda(index)),
        false => Err(missing()),
    };
    match name {
        "auto" => Ok(Device::cuda_if_available()),
        "cpu" => Ok(Device::Cpu),
        "cuda" => cuda(0),
        _ => match name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
            Some(index) => cuda(index),
            None => Err(Error::invalid(format!("device {name:?} is unknown; expected auto, cpu, cuda or cuda:N"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results and gradients are those of single precision, as far as bfloat16's eight bits go.
    #[test]
    fn mixed_precision_learns_the_same() {
        let backbone = Backbone::preset("resnet10").unwrap();
        let (network, weights) = (backbone.network().unwrap(), random_weights(&backbone, 1).unwrap());
        let pixels: Vec<f32> = (0..2 * 3 * 32 * 32).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
        let image = Tensor::from_slice(&pixels).reshape([2, 3, 32, 32]);
        let run = |precision| {
            let mut parameters = upload(&network, &weights, Device::Cpu).unwrap();
            let first = parameters.get_mut("conv1.weight").unwrap();
            *first = first.set_requires_grad(true);
            let results = forward_in(precision, &network, &parameters, &image, Norms::Frozen);
            let sum = results.iter().map(|map| map.square().sum(Kind::Float)).reduce(|a, b| a + b).unwrap();
            sum.backward();
            (results.into_iter().next_back().unwrap(), parameters["conv1.weight"].grad())
        };
        let ((single, gradient), (mixed, mixed_gradient)) = (run(Precision::Single), run(Precision::Mixed));
        for (single, mixed) in [(single, mixed), (gradient, mixed_gradient)] {
            assert_eq!((mixed.kind(), mixed.size()), (Kind::Float, single.size()));
            let difference = f64::try_from((&mixed - &single).norm() / single.norm()).unwrap();
            assert!((1e-5..0.05).contains(&difference), "{difference}");
        }
    }
}
