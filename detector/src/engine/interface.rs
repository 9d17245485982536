//! What every engine does.

use crate::Result;
use crate::descriptor::FeatureMap;

/// Runs a network on one image: the backbone, or the fused graph, whose outputs are maps of one channel.
pub trait Engine: Send {
    /// The name a user chooses it by.
    fn name(&self) -> &'static str;

    /// Feature maps of a normalised image `[3, height, width]`, in the order of the network's outputs.
    ///
    /// # Errors
    /// When the input has another length or the engine fails.
    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>>;
}

impl<E: Engine + ?Sized> Engine for &mut E {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        (**self).run(input)
    }
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        (**self).run(input)
    }
}
