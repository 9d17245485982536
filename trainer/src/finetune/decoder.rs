//! The part of the network that only fine-tuning needs: a decoder like U-Net's (Ronneberger et al., arXiv 1505.04597) with a head for
//! the mask and a head for the picture, and a linear head on the deepest layer for the question whether the image is anomalous.

use detector::network::Network;
use rand::SeedableRng;
use tch::{Device, Kind, Tensor};

use crate::network::{Named, normal};

/// Channels in a group of the group normalisations. Batches are too small for batch normalisation.
const GROUP: i64 = 8;
/// Fewest channels of an up-block.
const THINNEST: i64 = 16;

/// Shape of the decoder for a backbone with outputs at 1/4, 1/8 and 1/16 of the input.
pub struct Decoder {
    /// Channels of the backbone's outputs, shallow before deep.
    skips: Vec<i64>,
    /// Channels of each up-block, deep before shallow; the last two have no skip.
    ups: Vec<i64>,
}

/// Outputs of the heads.
pub struct Heads {
    /// `[batch]`, logit that the image is anomalous.
    pub label: Tensor,
    /// `[batch, height, width]`, logit that the pixel is anomalous.
    pub mask: Tensor,
    /// `[batch, 3, height, width]`, normalised colours.
    pub picture: Tensor,
}

impl Decoder {
    /// For the outputs of `network`.
    pub fn new(network: &Network) -> Decoder {
        let skips: Vec<i64> = network.outputs.iter().map(|output| output.channels as i64).collect();
        let mut ups: Vec<i64> = skips.iter().rev().skip(1).map(|channels| (*channels).clamp(THINNEST, 128)).collect();
        let last = ups.last().copied().unwrap_or(64);
        ups.extend([(last / 2).max(THINNEST), THINNEST]);
        Decoder { skips, ups }
    }

    /// Random parameters.
    pub fn parameters(&self, seed: u64, device: Device) -> Named {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        let mut parameters = Named::new();
        let mut add = |name: String, shape: &[i64], fan_in: i64| {
            let count = shape.iter().product::<i64>();
            let deviation = (2.0 / fan_in as f64).sqrt();
            let values: Vec<f32> = (0..count).map(|_| (normal(&mut random) * deviation) as f32).collect();
            parameters.insert(name, Tensor::from_slice(&values).reshape(shape).to_device(device));
        };
        let deepest = self.skips.last().copied().unwrap_or(1);
        let mut from = deepest;
        for (i, &to) in self.ups.iter().enumerate() {
            let skip = self.skip(i).map_or(0, |level| self.skips[level]);
            add(format!("head.up{i}.up.weight"), &[from, to, 2, 2], from);
            add(format!("head.up{i}.conv1.weight"), &[to, to + skip, 3, 3], (to + skip) * 9);
            add(format!("head.up{i}.conv2.weight"), &[to, to, 3, 3], to * 9);
            from = to;
        }
        add("head.mask.weight".into(), &[1, from, 1, 1], from * 8);
        add("head.picture.weight".into(), &[3, from, 1, 1], from * 2);
        add("head.label.weight".into(), &[1, deepest], deepest * 2);
        let mut constant = |name: String, size: i64, value: f64| {
            parameters.insert(name, Tensor::full([size], value, (Kind::Float, device)));
        };
        for (i, &to) in self.ups.iter().enumerate() {
            constant(format!("head.up{i}.up.bias"), to, 0.0);
            for n in [1, 2] {
                constant(format!("head.up{i}.norm{n}.weight"), to, 1.0);
                constant(format!("head.up{i}.norm{n}.bias"), to, 0.0);
            }
        }
        // Few pixels are anomalous: a low probability at the start avoids large gradients in the first steps.
        constant("head.mask.bias".into(), 1, -3.0);
        constant("head.picture.bias".into(), 3, 0.0);
        constant("head.label.bias".into(), 1, 0.0);
        parameters
    }

    /// Runs decoder and heads on the backbone's outputs, shallow before deep.
    pub fn forward(&self, parameters: &Named, layers: &[Tensor]) -> Heads {
        let get = |name: &str| &parameters[&format!("head.{name}")];
        let deepest = &layers[layers.len() - 1];
        let label =
            deepest.mean_dim([2i64, 3].as_slice(), false, Kind::Float).linear(get("label.weight"), Some(get("label.bias")));
        let mut x = deepest.shallow_clone();
        for (i, &to) in self.ups.iter().enumerate() {
            let part = |name: &str| get(&format!("up{i}.{name}"));
            x = x.conv_transpose2d(part("up.weight"), Some(part("up.bias")), [2, 2], [0, 0], [0, 0], 1, [1, 1]);
            if let Some(level) = self.skip(i) {
                x = Tensor::cat(&[&x, &layers[level]], 1);
            }
            for n in ["1", "2"] {
                x = x.conv2d::<&Tensor>(part(&format!("conv{n}.weight")), None, [1, 1], [1, 1], [1, 1], 1);
                let (weight, bias) = (part(&format!("norm{n}.weight")), part(&format!("norm{n}.bias")));
                x = x.group_norm((to / GROUP).max(1), Some(weight), Some(bias), 1e-5, true).relu();
            }
        }
        let head = |name: &str| {
            let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
            x.conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1)
        };
        Heads { label: label.squeeze_dim(1), mask: head("mask").squeeze_dim(1), picture: head("picture") }
    }

    /// The backbone output that joins the i-th up-block; none for the last two.
    fn skip(&self, i: usize) -> Option<usize> {
        self.skips.len().checked_sub(2 + i)
    }
}
