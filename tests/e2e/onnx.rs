//! The exported network against the ONNX checker and ONNX Runtime.
