//! Runs the detector's description of the backbone with libtorch.

use std::collections::BTreeMap;

use detector::network::{BATCH_NORM_EPSILON, Backbone, Network, Op};
use detector::tensors::Tensors;
use detector::{Error, Result};
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor};

/// Tensors by name: parameters, or an optimiser's state.
pub type Named = BTreeMap<String, Tensor>;

/// How batch normalisation treats its statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// Stored statistics, as on the camera.
    Frozen,
    /// The batch's own; the stored ones follow.
    Trained,
}

/// The network's results `[batch, channels, height, width]`, in their order, for `[batch, 3, height, width]`.
pub fn forward(network: &Network, parameters: &Named, image: &Tensor, norms: Norms) -> Vec<Tensor> {
    let mut values: Vec<Tensor> = Vec::with_capacity(network.nodes.len());
    for node in &network.nodes {
        let input = |i: usize| &values[node.inputs[i]];
        values.push(match &node.op {
            Op::Input => image.shallow_clone(),
            Op::Conv(conv) => {
                let get = |name: &str| &parameters[&format!("{}.{name}", conv.norm)];
                let (stride, padding) = (conv.stride as i64, conv.padding() as i64);
                let weight = &parameters[&format!("{}.weight", conv.name)];
                let y = input(0).conv2d::<&Tensor>(weight, None, [stride; 2], [padding; 2], [1, 1], 1);
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
/// When it is unknown or not there: never a silent CPU run.
pub fn device(name: &str) -> Result<Device> {
    let missing = || Error::invalid(format!("device {name:?} was asked for, and libtorch finds no such CUDA device"));
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
            None => Err(Error::invalid(format!("device {name:?} is unknown; auto, cpu, cuda or cuda:N was expected"))),
        },
    }
}
