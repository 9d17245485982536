//! The backbone, described once as data: the trainer runs this description with libtorch, the exporter writes it as ONNX.
//!
//! Residual networks as in He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), with torchvision's
//! parameter names.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Epsilon of every batch normalisation (torchvision's value).
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Kind of residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1 convolutions, the last four times as wide.
    Bottleneck,
}

/// Which published form of the network. The two differ in the convolution that has a stage's stride, and in the stem's max-pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// torchvision's: stride in the 3x3 convolution of a bottleneck, max-pool padded by one.
    Torchvision,
    /// The original release: stride in the first 1x1 convolution, max-pool unpadded with its size rounded up.
    Original,
}

/// Everything that fixes a backbone's structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backbone {
    /// Name that a user knows it by (`resnet18` ...).
    pub name: String,
    /// Block of every stage.
    pub block: Block,
    /// Number of blocks in `layer1`, `layer2` ...
    pub blocks: Vec<usize>,
    /// Channels of the stem; stage `s` has `width << s`, times four for bottlenecks.
    pub width: usize,
    /// Width of a bottleneck's 3x3 convolution relative to the plain network (2 in WideResNet-50-2).
    pub inner_factor: usize,
    /// Published form.
    pub variant: Variant,
    /// Stages whose results are used, in order; the network ends after the last.
    pub layers: Vec<String>,
    /// Hidden units of the defect head (see [`Network::defects`]); none if nothing was learned from anomalous samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect_units: Option<usize>,
}

impl Backbone {
    /// Names that [`Backbone::preset`] knows.
    pub const PRESETS: [&str; 5] = ["resnet10", "resnet18", "resnet34", "resnet50", "wide_resnet50_2"];

    /// A known architecture with outputs `layer2` and `layer3`.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn preset(name: &str) -> Result<Backbone> {
        let (block, blocks, width, inner_factor): (_, &[usize], _, _) = match name {
            // Not a published network: half as wide as ResNet-18 and one block a stage, so that it can be trained from scratch in minutes.
            "resnet10" => (Block::Basic, &[1, 1, 1, 1], 32, 1),
            "resnet18" => (Block::Basic, &[2, 2, 2, 2], 64, 1),
            "resnet34" => (Block::Basic, &[3, 4, 6, 3], 64, 1),
            "resnet50" => (Block::Bottleneck, &[3, 4, 6, 3], 64, 1),
            "wide_resnet50_2" => (Block::Bottleneck, &[3, 4, 6, 3], 64, 2),
            _ => {
                let known = Self::PRESETS.join(", ");
                return Err(Error::invalid(format!("backbone {name:?} is unknown; choose one of {known}")));
            }
        };
        Ok(Backbone {
            name: name.into(),
            block,
            blocks: blocks.into(),
            width,
            inner_factor,
            variant: Variant::Torchvision,
            layers: vec!["layer2".into(), "layer3".into()],
            defect_units: None,
        })
    }

    /// The graph of this backbone, cut after the last layer used.
    ///
    /// # Errors
    /// When the description is out of bounds: it may come from a file.
    pub fn network(&self) -> Result<Network> {
        let stages = self.stages()?;
        let expansion = if self.block == Block::Bottleneck { 4 } else { 1 };
        let mut builder = Builder { nodes: vec![Node { op: Op::Input, inputs: vec![] }], channels: vec![3] };
        let mut x = builder.conv_norm(0, "conv1", "bn1", self.width, 7, 2);
        x = builder.relu(x);
        x = match self.variant {
            Variant::Torchvision => builder.max_pool(x, 1, false),
            Variant::Original => builder.max_pool(x, 0, true),
        };
        let mut outputs = Vec::new();
        for (stage, &blocks) in self.blocks[..stages].iter().enumerate() {
            let planes = self.width << stage;
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                x = self.block(&mut builder, x, &name, planes, expansion, stride);
            }
            let layer = format!("layer{}", stage + 1);
            if self.layers.contains(&layer) {
                outputs.push(Output { layer, node: x, channels: builder.channels[x] });
            }
        }
        let defects = self.defect_units.map(|units| defect_head(&mut builder, &outputs, units));
        Ok(Network { nodes: builder.nodes, outputs, defects })
    }

    fn block(&self, g: &mut Builder, x: usize, name: &str, planes: usize, expansion: usize, stride: usize) -> usize {
        let part = |part: &str| format!("{name}.{part}");
        let conv = |g: &mut Builder, x, n: usize, channels, kernel, stride| {
            g.conv_norm(x, &part(&format!("conv{n}")), &part(&format!("bn{n}")), channels, kernel, stride)
        };
        let mut y;
        match self.block {
            Block::Basic => {
                y = conv(g, x, 1, planes, 3, stride);
                y = g.relu(y);
                y = conv(g, y, 2, planes, 3, 1);
            }
            Block::Bottleneck => {
                let inner = planes * self.inner_factor;
                let (first, second) = if self.variant == Variant::Original { (stride, 1) } else { (1, stride) };
                y = conv(g, x, 1, inner, 1, first);
                y = g.relu(y);
                y = conv(g, y, 2, inner, 3, second);
                y = g.relu(y);
                y = conv(g, y, 3, planes * expansion, 1, 1);
            }
        }
        let shortcut = if stride != 1 || g.channels[x] != planes * expansion {
            g.conv_norm(x, &part("downsample.0"), &part("downsample.1"), planes * expansion, 1, stride)
        } else {
            x
        };
        let sum = g.push(Op::Add, vec![y, shortcut], planes * expansion);
        g.relu(sum)
    }

    /// Number of stages that are needed, after checking every field.
    fn stages(&self) -> Result<usize> {
        let fits = (1..=8).contains(&self.blocks.len())
            && self.blocks.iter().all(|&n| (1..=64).contains(&n))
            && (1..=512).contains(&self.width)
            && (1..=8).contains(&self.inner_factor)
            && self.defect_units.is_none_or(|units| (1..=4096).contains(&units));
        if !fits {
            return Err(Error::invalid(format!(
                "backbone {:?}: blocks, width, inner_factor or defect_units out of bounds",
                self.name
            )));
        }
        let mut last = 0;
        for layer in &self.layers {
            let stage = layer.strip_prefix("layer").and_then(|n| n.parse::<usize>().ok());
            match stage {
                Some(stage) if stage > last && stage <= self.blocks.len() => last = stage,
                _ => {
                    let most = self.blocks.len();
                    return Err(Error::invalid(format!(
                        "backbone {:?}: layer {layer:?} does not fit; expected some of layer1 ... layer{most}, in order",
                        self.name
                    )));
                }
            }
        }
        if last == 0 {
            return Err(Error::invalid(format!("backbone {:?}: no layers given", self.name)));
        }
        Ok(last)
    }
}

/// Two 1x1 convolutions over the patch descriptors of `layers`. The first one is computed on each layer's own grid and enlarged
/// afterwards: enlarging is linear, so the result is the same, and it costs less.
fn defect_head(g: &mut Builder, layers: &[Output], units: usize) -> Output {
    let mut hidden: Option<usize> = None;
    for Output { layer, node, channels } in layers {
        let mean = g.push(Op::Mean, vec![*node], *channels);
        let name = format!("defects.{layer}");
        let part = g.conv_norm(mean, &name, &format!("{name}.norm"), units, 1, 1);
        hidden = Some(match hidden {
            None => part,
            Some(finest) => {
                let large = g.push(Op::Enlarge, vec![part, finest], units);
                g.push(Op::Add, vec![finest, large], units)
            }
        });
    }
    // `stages` has refused a description without layers: there is a hidden node.
    let active = g.relu(hidden.unwrap_or(0));
    let node = g.conv_norm(active, "defects.logit", "defects.logit.norm", 1, 1, 1);
    Output { layer: "defects".into(), node, channels: 1 }
}

/// A convolution without bias, followed by a batch normalisation; padding is half the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Parameter `NAME.weight`, shape `[output, input, kernel, kernel]`.
    pub name: String,
    /// Parameters `NORM.weight|bias|running_mean|running_var`, shape `[output]`.
    pub norm: String,
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
}

impl Conv {
    /// Zero padding on each side.
    pub fn padding(&self) -> usize {
        self.kernel / 2
    }
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The normalised image, `[batch, 3, height, width]`.
    Input,
    /// Convolution and batch normalisation.
    Conv(Conv),
    /// 3x3 maximum with stride 2.
    MaxPool {
        /// Padding on each side.
        padding: usize,
        /// Round the output size up.
        ceil: bool,
    },
    /// Mean over 3x3 neighbours, zeros outside counted.
    Mean,
    /// Bilinear enlarging (half-pixel centres) to the size of the second input.
    Enlarge,
    /// Sum of two nodes.
    Add,
    /// `max(x, 0)`.
    Relu,
}

/// One step of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// Indices of earlier nodes.
    pub inputs: Vec<usize>,
}

/// A named result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// `layer2` ...
    pub layer: String,
    /// Index of the node.
    pub node: usize,
    /// Channels of the feature map.
    pub channels: usize,
}

/// The graph in evaluation order; node 0 is the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Nodes, inputs before users.
    pub nodes: Vec<Node>,
    /// Feature maps, shallow before deep.
    pub outputs: Vec<Output>,
    /// One logit for each patch, high where it looks like a known defect.
    pub defects: Option<Output>,
}

impl Network {
    /// All results of an engine in their order: the feature maps, then the defect head's logits.
    pub fn results(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter().chain(&self.defects)
    }

    /// The convolutions in evaluation order.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.nodes.iter().filter_map(|node| if let Op::Conv(conv) = &node.op { Some(conv) } else { None })
    }

    /// Names and shapes of all parameters, as a weights file must hold them.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut parameters = Vec::new();
        for conv in self.convs() {
            let shape = vec![conv.output, conv.input, conv.kernel, conv.kernel];
            parameters.push((format!("{}.weight", conv.name), shape));
            for part in ["weight", "bias", "running_mean", "running_var"] {
                parameters.push((format!("{}.{part}", conv.norm), vec![conv.output]));
            }
        }
        parameters
    }
}

struct Builder {
    nodes: Vec<Node>,
    channels: Vec<usize>,
}

impl Builder {
    fn push(&mut self, op: Op, inputs: Vec<usize>, channels: usize) -> usize {
        self.nodes.push(Node { op, inputs });
        self.channels.push(channels);
        self.nodes.len() - 1
    }

    fn conv_norm(&mut self, x: usize, name: &str, norm: &str, output: usize, kernel: usize, stride: usize) -> usize {
        let conv = Conv { name: name.into(), norm: norm.into(), input: self.channels[x], output, kernel, stride };
        self.push(Op::Conv(conv), vec![x], output)
    }

    fn relu(&mut self, x: usize) -> usize {
        self.push(Op::Relu, vec![x], self.channels[x])
    }

    fn max_pool(&mut self, x: usize, padding: usize, ceil: bool) -> usize {
        self.push(Op::MaxPool { padding, ceil }, vec![x], self.channels[x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameter counts of torchvision's models, from the stem to the end of layer3 (without running statistics).
    #[test]
    fn parameter_counts_are_torchvisions() {
        // Counted with torchvision 0.20: sum of p.numel() over conv1, bn1, layer1, layer2, layer3.
        let expected = [("resnet18", 2_782_784), ("resnet34", 8_170_304), ("resnet50", 8_543_296)];
        for (name, count) in expected {
            let network = Backbone::preset(name).unwrap().network().unwrap();
            let learned = network.parameters().into_iter().filter(|(name, _)| !name.contains("running"));
            let sum: usize = learned.map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(sum, count, "{name}");
        }
    }

    #[test]
    fn outputs_have_the_published_widths() {
        for (name, widths) in [("resnet18", [128, 256]), ("wide_resnet50_2", [512, 1024]), ("resnet10", [64, 128])] {
            let network = Backbone::preset(name).unwrap().network().unwrap();
            let found: Vec<_> = network.outputs.iter().map(|output| output.channels).collect();
            assert_eq!(found, widths, "{name}");
        }
    }

    #[test]
    fn names_are_torchvisions() {
        let network = Backbone::preset("wide_resnet50_2").unwrap().network().unwrap();
        let parameters = network.parameters();
        let shape = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, shape)| shape.clone());
        assert_eq!(shape("layer1.0.downsample.0.weight"), Some(vec![256, 64, 1, 1]));
        assert_eq!(shape("layer2.0.conv2.weight"), Some(vec![256, 256, 3, 3]));
        assert_eq!(shape("layer3.5.bn3.running_var"), Some(vec![1024]));
        assert_eq!(shape("layer4.0.conv1.weight"), None, "cut after the last layer used");
    }

    #[test]
    fn a_defect_head_reads_every_layer() {
        let backbone = Backbone { defect_units: Some(64), ..Backbone::preset("resnet18").unwrap() };
        let network = backbone.network().unwrap();
        let names: Vec<&str> = network.results().map(|output| output.layer.as_str()).collect();
        assert_eq!(names, ["layer2", "layer3", "defects"]);
        let parameters = network.parameters();
        let shape = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, shape)| shape.clone());
        assert_eq!(shape("defects.layer2.weight"), Some(vec![64, 128, 1, 1]));
        assert_eq!(shape("defects.layer3.weight"), Some(vec![64, 256, 1, 1]));
        assert_eq!(shape("defects.logit.weight"), Some(vec![1, 64, 1, 1]));
        assert!(Backbone { defect_units: Some(0), ..backbone }.network().is_err());
    }

    #[test]
    fn absurd_descriptions_are_refused() {
        let mut backbone = Backbone::preset("resnet18").unwrap();
        backbone.layers = vec!["layer3".into(), "layer2".into()];
        assert!(backbone.network().is_err());
        backbone.layers = vec!["layer5".into()];
        assert!(backbone.network().is_err());
        backbone = Backbone { width: usize::MAX, ..Backbone::preset("resnet18").unwrap() };
        assert!(backbone.network().is_err());
        assert!(Backbone::preset("resnet19").is_err());
    }
}
