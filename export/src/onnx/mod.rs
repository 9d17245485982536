//! Networks as ONNX files: the float backbone, its int8 form, and the pieces of graphs from which a kind of detector builds more.

mod float;
mod int8;
pub(crate) mod proto;
mod value;

pub use float::backbone;
pub(crate) use float::float;
pub use int8::{Activations, int8, observer, starts};
pub use proto::{INPUT, IR_VERSION, OPSET};
pub(crate) use value::Value;

#[cfg(test)]
mod tests;
