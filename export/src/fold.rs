//! Batch normalisations folded into the convolutions before them.

use detector::network::{BATCH_NORM_EPSILON, Conv};
use detector::tensors::Tensors;

/// A convolution with its batch normalisation folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// `[output, input, kernel, kernel]`
    pub weight: Vec<f32>,
    /// `[output]`
    pub bias: Vec<f32>,
}

/// Folds a batch normalisation at its running statistics into the convolution before it, in double precision:
/// `gamma (W x - mean) / sqrt(var + epsilon) + beta = W' x + b'`.
///
/// # Errors
/// When a tensor is missing, has another shape or holds a value that is not finite, or when a variance is negative.
pub fn fold(conv: &Conv, weights: &Tensors) -> detector::Result<Folded> {
    let shape = [conv.output, conv.input, conv.kernel, conv.kernel];
    let kernel = weights.f32(&format!("{}.weight", conv.name), &shape)?;
    let norm = |part: &str| weights.f32(&format!("{}.{part}", conv.norm), &[conv.output]);
    let (gamma, beta, mean, variance) = (norm("weight")?, norm("bias")?, norm("running_mean")?, norm("running_var")?);
    if variance.iter().any(|value| *value < 0.0) {
        return Err(detector::Error::invalid(format!("tensor \"{}.running_var\" holds a negative variance", conv.norm)));
    }
    let mut folded = Folded { weight: Vec::with_capacity(kernel.len()), bias: Vec::with_capacity(conv.output) };
    for (channel, kernel) in kernel.chunks_exact(conv.input * conv.kernel * conv.kernel).enumerate() {
        let scale = f64::from(gamma[channel]) / (f64::from(variance[channel]) + BATCH_NORM_EPSILON).sqrt();
        folded.weight.extend(kernel.iter().map(|weight| (f64::from(*weight) * scale) as f32));
        folded.bias.push((f64::from(beta[channel]) - f64::from(mean[channel]) * scale) as f32);
    }
    match folded.weight.iter().chain(&folded.bias).all(|value| value.is_finite()) {
        true => Ok(folded),
        false => Err(detector::Error::invalid(format!("{} folded into {} overflows", conv.norm, conv.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn conv() -> Conv {
        Conv { name: "conv".into(), norm: "bn".into(), input: 2, output: 3, kernel: 3, stride: 1 }
    }

    fn weights(kernel: Vec<f32>, norms: &[Vec<f32>]) -> Tensors {
        let mut weights = Tensors::default();
        weights.insert("conv.weight", [3, 2, 3, 3], kernel);
        for (part, values) in ["weight", "bias", "running_mean", "running_var"].iter().zip(norms) {
            weights.insert(format!("bn.{part}"), [3], values.clone());
        }
        weights
    }

    proptest! {
        /// One output position: a patch of 18 values.
        #[test]
        fn folded_equals_unfolded(
            kernel in prop::collection::vec(-1.0f32..1.0, 54),
            patch in prop::collection::vec(-3.0f32..3.0, 18),
            norms in prop::collection::vec(prop::collection::vec(-2.0f32..2.0, 3), 3),
            variance in prop::collection::vec(0.01f32..4.0, 3),
        ) {
            let norms = [norms[0].clone(), norms[1].clone(), norms[2].clone(), variance];
            let folded = fold(&conv(), &weights(kernel.clone(), &norms)).unwrap();
            let dot = |kernel: &[f32]| kernel.iter().zip(&patch).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            for (channel, bias) in folded.bias.iter().enumerate() {
                let rows = channel * 18..(channel + 1) * 18;
                let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|part: usize| f64::from(norms[part][channel]));
                let unfolded = (dot(&kernel[rows.clone()]) - mean) / (variance + 1e-5).sqrt() * gamma + beta;
                let found = dot(&folded.weight[rows]) + f64::from(*bias);
                prop_assert!((found - unfolded).abs() <= 1e-4 * unfolded.abs().max(1.0), "{} {}", found, unfolded);
            }
        }
    }

    #[test]
    fn unsound_statistics_are_named() {
        let sound = [vec![1.0; 3], vec![0.0; 3], vec![0.0; 3], vec![1.0; 3]];
        assert!(fold(&conv(), &weights(vec![0.1; 54], &sound)).is_ok());
        let mut negative = sound.clone();
        negative[3][1] = -0.5;
        let error = fold(&conv(), &weights(vec![0.1; 54], &negative)).unwrap_err().to_string();
        assert!(error.contains("bn.running_var") && error.contains("negative"), "{error}");
        let mut huge = sound;
        huge[0][0] = f32::MAX;
        assert!(fold(&conv(), &weights(vec![1e10; 54], &huge)).unwrap_err().to_string().contains("overflows"));
        assert!(fold(&conv(), &Tensors::default()).unwrap_err().to_string().contains("conv.weight"));
    }
}
