//! AdamW (Loshchilov & Hutter, arXiv 1711.05101). A resumed run needs the optimiser's state, which tch's own optimisers cannot save.

use tch::{Tensor, no_grad};

use crate::network::Named;

const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// First and second moments of every trained parameter.
#[derive(Default)]
pub struct AdamW {
    /// `m.NAME` and `v.NAME`.
    pub moments: Named,
}

impl AdamW {
    /// Does one optimiser step and clears the gradients. `step` counts from 1; `rate` gives the learning rate of a parameter by its
    /// name.
    pub fn step(&mut self, parameters: &mut Named, step: usize, weight_decay: f64, rate: impl Fn(&str) -> f64) {
        let corrections = (1.0 - BETAS.0.powi(step as i32), 1.0 - BETAS.1.powi(step as i32));
        no_grad(|| {
            for (name, parameter) in parameters.iter_mut().filter(|(_, parameter)| parameter.requires_grad()) {
                let mut gradient = parameter.grad();
                if !gradient.defined() {
                    continue;
                }
                let rate = rate(name);
                let mut moment = |kind: &str| {
                    self.moments.entry(format!("{kind}.{name}")).or_insert_with(|| parameter.zeros_like()).shallow_clone()
                };
                let (mut m, mut v) = (moment("m"), moment("v"));
                let _ = m.g_mul_scalar_(BETAS.0).g_add_(&(&gradient * (1.0 - BETAS.0)));
                let _ = v.g_mul_scalar_(BETAS.1).g_add_(&(gradient.square() * (1.0 - BETAS.1)));
                // Biases and normalisations have one axis and are not decayed.
                if parameter.dim() > 1 {
                    let _ = parameter.g_mul_scalar_(1.0 - rate * weight_decay);
                }
                let update: Tensor = (&m / corrections.0) / ((&v / corrections.1).sqrt() + EPSILON);
                let _ = parameter.g_sub_(&(update * rate));
                let _ = gradient.zero_();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::to_vec;
    use tch::Kind;

    /// `torch.optim.AdamW([w], lr=0.1, weight_decay=0.5)` on `(w * [[1., -2.]]).sum()`, two steps from [[1., 1.]]; worked out by
    /// hand: with a constant gradient the update is lr * sign(gradient), after decay by (1 - lr * 0.5).
    #[test]
    fn constant_gradients_give_known_steps() {
        let weight = Tensor::ones([1, 2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let mut parameters = Named::from([("w".to_string(), weight)]);
        let mut optimiser = AdamW::default();
        for step in 1..=2 {
            let slope = Tensor::from_slice(&[1.0f32, -2.0]).reshape([1, 2]);
            (&parameters["w"] * slope).sum(Kind::Float).backward();
            optimiser.step(&mut parameters, step, 0.5, |_| 0.1);
        }
        let found = to_vec(&parameters["w"]).unwrap();
        let expected = [(0.95 - 0.1) * 0.95 - 0.1, (0.95 + 0.1) * 0.95 + 0.1];
        found.iter().zip(expected).for_each(|(a, b)| assert!((f64::from(*a) - b).abs() < 1e-5, "{found:?}"));
    }
}
