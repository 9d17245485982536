//! A backbone that describes images.

use detector::network::Network;
use detector::preprocess::Preprocess;
use tch::{Device, Tensor};

use crate::network::{Named, Norms, forward};

/// A backbone ready to describe images.
pub struct Describer<'a> {
    /// The description.
    pub network: &'a Network,
    /// Its parameters, on `device`.
    pub parameters: &'a Named,
    /// From file to network input.
    pub rule: &'a Preprocess,
    /// Where it runs.
    pub device: Device,
}

impl Describer<'_> {
    /// The network's results `[batch, channels, height, width]` for normalised images, one after the other in `images`.
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
