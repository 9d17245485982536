//! A batch on the device that learns from it.

use detector::preprocess::Size;
use tch::{Device, Tensor};

use super::batch::Batch;

/// A batch on the device.
pub struct Targets {
    /// `[batch, 3, height, width]`, normalised.
    pub images: Tensor,
    /// `[batch]`, 1 for anomalous.
    pub labels: Tensor,
    /// `[batch, height, width]`, 1 for anomalous pixels.
    pub masks: Tensor,
    /// `[batch]`, 1 where the mask is known.
    pub masked: Tensor,
}

impl Targets {
    /// Copies a batch of images of this size.
    pub fn new(batch: &Batch, size: Size, device: Device) -> Targets {
        let (count, height, width) = (batch.labels.len() as i64, i64::from(size.height), i64::from(size.width));
        let tensor = |values: &[f32], shape: &[i64]| Tensor::from_slice(values).reshape(shape).to_device(device);
        Targets {
            images: tensor(&batch.images, &[count, 3, height, width]),
            labels: tensor(&batch.labels, &[count]),
            masks: tensor(&batch.masks, &[count, height, width]),
            masked: tensor(&batch.masked, &[count]),
        }
    }
}
