//! The ONNX operators of exported backbones, and no others: operators that no bundle needs are neither parsed nor linked, which makes the
//! camera's program a quarter smaller (decision 0021).

use tract_onnx::model::{Onnx, OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::activations::Clip;
use tract_onnx::tract_hir::ops::cnn::{Conv, HirMaxPool, HirSumPool, PaddingSpec, PoolSpec};
use tract_onnx::tract_hir::ops::math::Add;
use tract_onnx::tract_hir::ops::matmul::MatMulInference;
use tract_onnx::tract_hir::ops::nn::DataFormat;

/// An operator, and the names of the tensors outside the graph that it needs: none.
type Operator = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// A reader that knows what the exporter writes (`export::onnx`); any other operator is an error that names it.
pub fn reader() -> Onnx {
    let mut known = OnnxOpRegister::default();
    known.insert("Add", |_, _| Ok((Add.into_hir(), Vec::new())));
    // Older bundles have means as pooling; newer ones as convolutions.
    known.insert("AveragePool", average_pool);
    known.insert("Conv", conv);
    known.insert("MatMul", |_, _| Ok((expand(MatMulInference::default()), Vec::new())));
    known.insert("MaxPool", max_pool);
    known.insert("Relu", |_, _| Ok((expand(Clip::new(Some(0.0), None)), Vec::new())));
    Onnx { op_register: known, ..Onnx::default() }
}

fn conv(_: &ParsingContext<'_>, node: &NodeProto) -> Operator {
    let window = Window::of(node)?;
    let group = node.get_attr_opt::<i64>("group")?.unwrap_or(1);
    node.expect_attr("group", group > 0, "one or more")?;
    let (before, after) = window.padding;
    let padding = PaddingSpec::Explicit(before, after);
    let conv = Conv::default().kernel_shape(window.shape).strides(window.strides).padding(padding).group(group as usize);
    Ok((expand(if node.input.len() == 3 { conv.bias_input(2) } else { conv }), Vec::new()))
}

fn max_pool(_: &ParsingContext<'_>, node: &NodeProto) -> Operator {
    Ok((expand(HirMaxPool::new(pool(node)?, None)), Vec::new()))
}

fn average_pool(_: &ParsingContext<'_>, node: &NodeProto) -> Operator {
    let with_border = node.get_attr_opt::<i64>("count_include_pad")?.unwrap_or(0) == 1;
    Ok((expand(HirSumPool::new(pool(node)?, with_border, true)), Vec::new()))
}

fn pool(node: &NodeProto) -> TractResult<PoolSpec> {
    let Window { shape, strides, padding: (before, after) } = Window::of(node)?;
    let up = node.get_attr_opt::<i64>("ceil_mode")?.unwrap_or(0) == 1;
    let padding = PaddingSpec::ExplicitOnnxPool(before, after, up);
    Ok(PoolSpec::new(DataFormat::NCHW, shape, padding, None, Some(strides), 0, 0))
}

/// The attributes that convolution and pooling share, `[rows, columns]` each.
struct Window {
    shape: TVec<usize>,
    strides: TVec<usize>,
    /// Before and after.
    padding: (TVec<usize>, TVec<usize>),
}

impl Window {
    fn of(node: &NodeProto) -> TractResult<Window> {
        let numbers = |name| node.get_attr_tvec::<usize>(name);
        let (shape, strides, pads) = (numbers("kernel_shape")?, numbers("strides")?, numbers("pads")?);
        node.expect_attr("kernel_shape", shape.len() == 2, "two numbers")?;
        node.expect_attr("strides", strides.len() == 2, "two numbers")?;
        node.expect_attr("pads", pads.len() == 4, "four numbers")?;
        let dilations = node.get_attr_opt_tvec::<usize>("dilations")?;
        node.expect_attr("dilations", dilations.is_none_or(|all| all.iter().all(|step| *step == 1)), "1")?;
        Ok(Window { shape, strides, padding: (pads[..2].into(), pads[2..].into()) })
    }
}
