//! The heads while they learn, and their form inside the network.

use anyhow::{Context, Result};
use detector::network::{BATCH_NORM_EPSILON, Network};
use detector::tensors::Tensors;
use rand::SeedableRng;
use tch::{Device, Kind, Tensor};

use crate::describer::Describer;
use crate::network::{Named, normal, to_vec};

/// The fitted heads.
pub struct Head {
    /// `hidden.weight [heads * units, dims]`, `hidden.bias`, `logit.weight [heads, units]`, `logit.bias`.
    pub(super) parameters: Named,
    pub(super) heads: usize,
    /// Mean `[dims]` of good descriptors. The heads read standardised descriptors.
    pub(super) mean: Tensor,
    /// Standard deviation `[dims]` of good descriptors.
    pub(super) deviation: Tensor,
    /// Mean loss of every ten steps.
    pub curve: Vec<f32>,
}

/// Random parameters of heads that have not learned yet.
pub(super) fn parameters(dims: i64, [heads, units]: [i64; 2], seed: u64, device: Device) -> Named {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(2);
    let mut linear = |from: i64, to: i64| {
        let deviation = 1.0 / (3.0 * from as f64).sqrt();
        let values: Vec<f32> = (0..from * to).map(|_| (normal(&mut random) * deviation) as f32).collect();
        Tensor::from_slice(&values).reshape([to, from]).to_device(device).set_requires_grad(true)
    };
    let (hidden, logit) = (linear(dims, heads * units), linear(units, heads));
    let zeros = |size: i64| Tensor::zeros([size], (Kind::Float, device)).set_requires_grad(true);
    Named::from([
        ("hidden.weight".into(), hidden),
        ("hidden.bias".into(), zeros(heads * units)),
        ("logit.weight".into(), logit),
        ("logit.bias".into(), zeros(heads)),
    ])
}

/// The heads in the weights of a run, as they were before [`Head::join`] folded the standardisation into them and joined them into one.
pub(super) fn unfolded(
    weights: &Tensors,
    describer: &Describer<'_>,
    (mean, deviation): (&Tensor, &Tensor),
    [heads, units]: [i64; 2],
) -> Result<Named> {
    let all = heads * units;
    let tensor = |name: &str, shape: &[i64]| -> Result<Tensor> {
        let wanted: Vec<usize> = shape.iter().map(|size| *size as usize).collect();
        Ok(Tensor::from_slice(weights.f32(name, &wanted)?).reshape(shape).to_device(describer.device))
    };
    let (mut parts, mut bias) = (Vec::new(), Tensor::zeros([all], (Kind::Float, describer.device)));
    for output in &describer.network.outputs {
        let (name, channels) = (format!("defects.{}", output.layer), output.channels as i64);
        parts.push(tensor(&format!("{name}.weight"), &[all, channels, 1, 1])?.reshape([all, channels]));
        bias += tensor(&format!("{name}.norm.bias"), &[all])?;
    }
    let weight = Tensor::cat(&parts, 1);
    let (bias, weight) = (bias + weight.matmul(mean), weight * deviation);
    let logit = tensor("defects.logit.weight", &[1, all, 1, 1])?.reshape([heads, units]) * heads as f64;
    let named = [
        ("hidden.weight", weight),
        ("hidden.bias", bias),
        ("logit.weight", logit),
        ("logit.bias", tensor("defects.logit.norm.bias", &[1])?.repeat([heads])),
    ];
    Ok(named.into_iter().map(|(name, value)| (name.to_string(), value.set_requires_grad(true))).collect())
}

/// `[n, heads]` from standardised descriptors `[n, dims]`.
pub(super) fn logits(parameters: &Named, patches: &Tensor) -> Tensor {
    let weight = &parameters["logit.weight"];
    let hidden = patches.linear(&parameters["hidden.weight"], Some(&parameters["hidden.bias"])).relu();
    let of_heads = hidden.reshape([-1, weight.size()[0], weight.size()[1]]) * weight;
    of_heads.sum_dim_intlist([2i64].as_slice(), false, Kind::Float) + &parameters["logit.bias"]
}

impl Head {
    /// Hidden units of all heads.
    pub fn units(&self) -> usize {
        self.parameters["hidden.bias"].size()[0] as usize
    }

    /// `[n, heads]` from descriptors `[n, dims]`.
    pub fn logits(&self, patches: &Tensor) -> Tensor {
        logits(&self.parameters, &((patches - &self.mean) / &self.deviation))
    }

    /// Parameters of the network's defect head, whose logit is less by `offset`. Of its normalisations only the biases are not neutral.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn parameters_of(&self, network: &Network, offset: f64) -> Result<Tensors> {
        let weight = &self.parameters["hidden.weight"] / &self.deviation;
        let bias = &self.parameters["hidden.bias"] - weight.matmul(&self.mean);
        let units = bias.size()[0];
        let mut file = Tensors::default();
        let mut conv = |name: &str, weight: &Tensor, bias: Vec<f32>| -> Result<()> {
            let shape = weight.size();
            let (to, from) = (shape[0] as usize, shape[1] as usize);
            file.insert(format!("{name}.weight"), [to, from, 1, 1], to_vec(weight)?);
            file.insert(format!("{name}.norm.weight"), [to], vec![1.0; to]);
            file.insert(format!("{name}.norm.bias"), [to], bias);
            file.insert(format!("{name}.norm.running_mean"), [to], vec![0.0; to]);
            file.insert(format!("{name}.norm.running_var"), [to], vec![1.0 - BATCH_NORM_EPSILON as f32; to]);
            Ok(())
        };
        let (mut first, mut bias) = (0, to_vec(&bias)?);
        for output in &network.outputs {
            let channels = output.channels as i64;
            conv(&format!("defects.{}", output.layer), &weight.narrow(1, first, channels), bias)?;
            // The parts are summed: one of them holds the bias.
            (first, bias) = (first + channels, vec![0.0; units as usize]);
        }
        // The mean of all heads is one head with all their units.
        let logit = &self.parameters["logit.weight"] / self.heads as f64;
        let bias = f32::try_from(self.parameters["logit.bias"].mean(Kind::Float))
            .context("libtorch cannot copy the bias of the defect head")?;
        conv("defects.logit", &logit.reshape([1, -1]), vec![bias - offset as f32])?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::network::Backbone;
    use tch::no_grad;

    use crate::network::{Norms, forward, random_weights, upload};
    use crate::patches;

    /// The head inside the network gives the mean logit of the separate heads, less the offset.
    #[test]
    fn folding_into_the_network_changes_nothing() {
        let backbone = Backbone::preset("resnet10").unwrap();
        let mut weights = random_weights(&backbone, 1).unwrap();
        let network = backbone.network().unwrap();
        let plain = upload(&network, &weights, Device::Cpu).unwrap();
        let image = Tensor::rand([1, 3, 64, 96], (Kind::Float, Device::Cpu));
        let patches = patches::describe(&forward(&network, &plain, &image, Norms::Frozen));
        let dims = patches.size()[1];
        let head = Head {
            parameters: parameters(dims, [3, 8], 3, Device::Cpu),
            heads: 3,
            mean: Tensor::rand([dims], (Kind::Float, Device::Cpu)),
            deviation: Tensor::rand([dims], (Kind::Float, Device::Cpu)) + 0.5,
            curve: Vec::new(),
        };
        let of_heads = no_grad(|| head.logits(&patches));
        let expected = of_heads.mean_dim([1i64].as_slice(), false, Kind::Float) - 0.75;
        weights.tensors.extend(head.parameters_of(&network, 0.75).unwrap().tensors);
        let network = Backbone { defect_units: Some(24), ..backbone }.network().unwrap();
        let whole = upload(&network, &weights, Device::Cpu).unwrap();
        let found = forward(&network, &whole, &image, Norms::Frozen);
        let (found, expected) = (to_vec(&found[2]).unwrap(), to_vec(&expected).unwrap());
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} {expected}");
        }
    }
}
