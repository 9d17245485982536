//! A backbone that describes images.

use detector::network::Network;
use detector::preprocess::Preprocess;
use tch::{Device, Tensor};

use crate::network::{Named, Norms, forward};

/// A network with its parameters on a device.
pub struct Describer<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its parameters, on `device`.
    pub parameters: &'a Named,
    /// From file to network input.
    pub rule: &'a Preprocess,
    /// Where libtorch computes.
    pub device: Device,
}

impl Describer<'_> {
    /// The network's results, each `[batch, channels, height, width]`, for `images` `[batch, 3, height, width]`, normalised and
    /// row-major.
    pub fn layers(&self, images: &[f32]) -> Vec<Tensor> {
        forward(self.network, self.parameters, &self.upload(images), Norms::Frozen)
    }

    /// Normalised images as `[batch, 3, height, width]` on the device.
    pub fn upload(&self, images: &[f32]) -> Tensor {
        let size = self.rule.input();
        let input = Tensor::from_slice(images).reshape([-1, 3, i64::from(size.height), i64::from(size.width)]);
        input.to_device(self.device)
    }
}
