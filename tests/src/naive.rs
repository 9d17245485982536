//! The backbone computed as its definition says, in double precision, nothing folded: what other engines are compared with.

use detector::Result;
use detector::descriptor::FeatureMap;
use detector::engine::Engine;
use detector::network::{BATCH_NORM_EPSILON, Conv, Network, Op};
use detector::preprocess::Size;
use detector::tensors::Tensors;

/// A slow engine.
pub struct NaiveEngine {
    /// What to compute.
    pub network: Network,
    /// Unfolded weights, torchvision's names.
    pub weights: Tensors,
    /// Size of the input.
    pub size: Size,
}

/// `[channels, height, width]`
#[derive(Clone)]
struct Map {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Map {
    fn new(channels: usize, height: usize, width: usize, value: impl Fn(usize, usize, usize) -> f64) -> Map {
        let mut values = Vec::with_capacity(channels * height * width);
        for c in 0..channels {
            for y in 0..height {
                values.extend((0..width).map(|x| value(c, y, x)));
            }
        }
        Map { channels, height, width, values }
    }

    /// Nothing outside the map.
    fn at(&self, c: usize, y: usize, x: usize) -> Option<f64> {
        (y < self.height && x < self.width).then(|| self.values[(c * self.height + y) * self.width + x])
    }
}

impl NaiveEngine {
    fn conv_norm(&self, conv: &Conv, x: &Map) -> Map {
        let shape = [conv.output, conv.input, conv.kernel, conv.kernel];
        let weights = self.weights.f32(&format!("{}.weight", conv.name), &shape).expect("weights");
        let norm = |part: &str| self.weights.f32(&format!("{}.{part}", conv.norm), &[conv.output]).expect("batch norm");
        let (gamma, beta, mean, variance) = (norm("weight"), norm("bias"), norm("running_mean"), norm("running_var"));
        let size = |length: usize| (length + 2 * conv.padding() - conv.kernel) / conv.stride + 1;
        Map::new(conv.output, size(x.height), size(x.width), |o, oy, ox| {
            let mut sum = 0.0;
            for i in 0..conv.input {
                for ky in 0..conv.kernel {
                    for kx in 0..conv.kernel {
                        // Left of the first pixel wraps to a huge index, which is outside as well.
                        let y = (oy * conv.stride + ky).wrapping_sub(conv.padding());
                        let x_ = (ox * conv.stride + kx).wrapping_sub(conv.padding());
                        let weight = weights[((o * conv.input + i) * conv.kernel + ky) * conv.kernel + kx];
                        sum += f64::from(weight) * x.at(i, y, x_).unwrap_or(0.0);
                    }
                }
            }
            let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(|values| f64::from(values[o]));
            (sum - mean) / (variance + BATCH_NORM_EPSILON).sqrt() * gamma + beta
        })
    }
}

fn max_pool(x: &Map, padding: usize, ceil: bool) -> Map {
    let size = |length: usize| {
        let steps = length + 2 * padding - 3;
        let size = if ceil { steps.div_ceil(2) } else { steps / 2 } + 1;
        // torch: the last window must begin inside the map or its left padding.
        if (size - 1) * 2 >= length + padding { size - 1 } else { size }
    };
    Map::new(x.channels, size(x.height), size(x.width), |c, oy, ox| {
        let window = (0..9).filter_map(|k| {
            let (y, column) = ((oy * 2 + k / 3).wrapping_sub(padding), (ox * 2 + k % 3).wrapping_sub(padding));
            x.at(c, y, column)
        });
        window.fold(f64::NEG_INFINITY, f64::max)
    })
}

/// Over 3x3 neighbours; what lies outside counts as zero.
fn mean(x: &Map) -> Map {
    Map::new(x.channels, x.height, x.width, |c, y, column| {
        let near = (0..9).filter_map(|k| x.at(c, (y + k / 3).wrapping_sub(1), (column + k % 3).wrapping_sub(1)));
        near.sum::<f64>() / 9.0
    })
}

/// Bilinear with half-pixel centres.
fn enlarge(x: &Map, like: &Map) -> Map {
    let taps = |i: usize, from: usize, to: usize| {
        let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        let low = at.floor() as usize;
        (low, (low + 1).min(from - 1), at - at.floor())
    };
    Map::new(x.channels, like.height, like.width, |c, y, column| {
        let (top, bottom, down) = taps(y, x.height, like.height);
        let (left, right, along) = taps(column, x.width, like.width);
        let at = |y: usize, column: usize| x.values[(c * x.height + y) * x.width + column];
        let row = |y: usize| at(y, left) * (1.0 - along) + at(y, right) * along;
        row(top) * (1.0 - down) + row(bottom) * down
    })
}

impl Engine for NaiveEngine {
    fn name(&self) -> &'static str {
        "naive"
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        let (height, width) = (self.size.height as usize, self.size.width as usize);
        let mut maps: Vec<Map> = Vec::new();
        for node in &self.network.nodes {
            let of = |i: usize| &maps[node.inputs[i]];
            let map = match &node.op {
                Op::Input => Map::new(3, height, width, |c, y, x| f64::from(input[(c * height + y) * width + x])),
                Op::Conv(conv) => self.conv_norm(conv, of(0)),
                Op::MaxPool { padding, ceil } => max_pool(of(0), *padding, *ceil),
                Op::Mean => mean(of(0)),
                Op::Enlarge => enlarge(of(0), of(1)),
                Op::Relu => Map { values: of(0).values.iter().map(|v| v.max(0.0)).collect(), ..of(0).clone() },
                Op::Add => {
                    let sums = of(0).values.iter().zip(&of(1).values).map(|(a, b)| a + b).collect();
                    Map { values: sums, ..of(0).clone() }
                }
            };
            maps.push(map);
        }
        let output = |node: usize| {
            let Map { channels, height, width, values } = &maps[node];
            let values = values.iter().map(|value| *value as f32).collect();
            FeatureMap { channels: *channels, height: *height, width: *width, values }
        };
        Ok(self.network.results().map(|out| output(out.node)).collect())
    }
}
