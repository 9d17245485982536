//! The results of a network's nodes: names and shapes.

use detector::network::{Network, Op};
use detector::preprocess::Size;
use detector::{Error, Result};
use tract_onnx::pb::ValueInfoProto;

use super::proto::{self, INPUT};

/// The result of a node.
pub struct Value {
    /// Name of the node.
    pub node: String,
    /// Name of the result: that of a layer where the result is an output of the network.
    pub name: String,
    /// `[channels, height, width]` behind the batch axis.
    pub shape: [usize; 3],
}

impl Value {
    /// Shape after a convolution or pooling.
    fn windowed(&self, channels: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> Result<[usize; 3]> {
        let [_, height, width] = self.shape;
        let size = |length: usize| {
            let room = (length + 2 * padding).checked_sub(kernel)?;
            Some(if ceil { room.div_ceil(stride) } else { room / stride } + 1)
        };
        match (size(height), size(width)) {
            (Some(height), Some(width)) => Ok([channels, height, width]),
            _ => Err(Error::invalid(format!("the input is too small for the network: {height}x{width} left at {}", self.node))),
        }
    }

    /// The result as an input or output of a graph.
    pub fn info(&self) -> ValueInfoProto {
        proto::info(&self.name, &self.shape)
    }
}

/// Names and shapes of the results of a network's nodes.
///
/// # Errors
/// When the input is too small for the network.
pub fn values(network: &Network, input: Size) -> Result<Vec<Value>> {
    let mut values: Vec<Value> = Vec::with_capacity(network.nodes.len());
    for (index, node) in network.nodes.iter().enumerate() {
        let of = |i: usize| &values[node.inputs[i]];
        let (name, shape) = match &node.op {
            Op::Input => (INPUT.into(), [3, input.height as usize, input.width as usize]),
            Op::Conv(conv) => (conv.name.clone(), of(0).windowed(conv.output, conv.kernel, conv.stride, conv.padding(), false)?),
            Op::MaxPool { padding, ceil } => ("maxpool".into(), of(0).windowed(of(0).shape[0], 3, 2, *padding, *ceil)?),
            Op::Mean => (format!("{}.mean", of(0).node), of(0).shape),
            Op::Enlarge => (format!("{}.large", of(0).node), [of(0).shape[0], of(1).shape[1], of(1).shape[2]]),
            Op::Relu => {
                // After a sum it ends its block, as torchvision's last `relu` does.
                let before = of(0).node.strip_suffix(".add").unwrap_or(&of(0).node);
                (format!("{before}.relu"), of(0).shape)
            }
            Op::Add => {
                let block = of(0).node.rsplit_once('.').map_or("", |(block, _)| block);
                (format!("{block}.add"), of(0).shape)
            }
        };
        let output = network.results().find(|output| output.node == index);
        values.push(Value { name: output.map_or(name.clone(), |output| output.layer.clone()), node: name, shape });
    }
    Ok(values)
}
