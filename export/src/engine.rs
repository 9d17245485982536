//! tract with all its operators: it runs every form of the network that the exporter writes.

use detector::Result;
use detector::engine::TractEngine;
use detector::preprocess::Size;

/// Loads an ONNX file. The camera's tract knows only the operators of float backbones.
///
/// # Errors
/// When the bytes are no ONNX model that tract can run.
pub fn load(onnx: &[u8], input: Size) -> Result<TractEngine> {
    TractEngine::load_with(&tract_onnx::onnx(), onnx, input)
}
