//! Arithmetic whose result is the same on every machine: only `+ - * /` and `sqrt`, which IEEE 754 rounds exactly. The
//! standard library's `sin`, `exp` and the like differ between platforms.

/// A point or direction in the plane.
pub type V2 = [f64; 2];
/// A direction in space, or a colour in linear light.
pub type V3 = [f64; 3];

pub fn add2(a: V2, b: V2) -> V2 {
    [a[0] + b[0], a[1] + b[1]]
}

pub fn sub2(a: V2, b: V2) -> V2 {
    [a[0] - b[0], a[1] - b[1]]
}

pub fn scale2(a: V2, k: f64) -> V2 {
    [a[0] * k, a[1] * k]
}

pub fn dot2(a: V2, b: V2) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

pub fn length2(a: V2) -> f64 {
    dot2(a, a).sqrt()
}

/// `a` with length 1; zero stays zero.
pub fn unit2(a: V2) -> V2 {
    let length = length2(a);
    if length > 0.0 { scale2(a, 1.0 / length) } else { a }
}

pub fn rotate2(a: V2, (sin, cos): (f64, f64)) -> V2 {
    [a[0] * cos - a[1] * sin, a[0] * sin + a[1] * cos]
}

pub fn dot3(a: V3, b: V3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub fn unit3(a: V3) -> V3 {
    let length = dot3(a, a).sqrt();
    [a[0] / length, a[1] / length, a[2] / length]
}

pub fn scale3(a: V3, k: f64) -> V3 {
    [a[0] * k, a[1] * k, a[2] * k]
}

pub fn mix3(a: V3, b: V3, t: f64) -> V3 {
    [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)]
}

pub fn mix(a: f64, b: f64, t: f64) -> f64 {
    a + (b - a) * t
}

/// 0 below `from`, 1 above `to`, smooth between.
pub fn smoothstep(from: f64, to: f64, x: f64) -> f64 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 at 0, falling smoothly to 0 at +-1.
pub fn bump(x: f64) -> f64 {
    let inside = (1.0 - x * x).max(0.0);
    inside * inside
}

/// Sine and cosine of an angle in turns, by Taylor series.
pub fn sin_cos(turns: f64) -> (f64, f64) {
    let x = (turns - (turns + 0.5).floor()) * (2.0 * std::f64::consts::PI);
    let (mut sin, mut cos, mut term) = (0.0, 1.0, x);
    for n in 1..=13 {
        let n = f64::from(2 * n);
        sin += term;
        term *= x / n;
        cos -= term;
        term *= -x / (n + 1.0);
    }
    (sin, cos)
}

/// Well-mixed bits of a lattice point.
pub fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    for k in [0x7FEB_352D, 0x846C_A68B] {
        h = (h ^ (h >> 16)).wrapping_mul(k);
    }
    h ^ (h >> 15)
}

/// In -1..=1.
fn lattice(x: i32, y: i32, seed: u32) -> f64 {
    f64::from(hash(x, y, seed)) / f64::from(u32::MAX) * 2.0 - 1.0
}

/// Smooth noise in -1..=1 with a grain of 1.
pub fn noise(p: V2, seed: u32) -> f64 {
    let (x, y) = (p[0].floor(), p[1].floor());
    let (u, v) = (smoothstep(0.0, 1.0, p[0] - x), smoothstep(0.0, 1.0, p[1] - y));
    let (x, y) = (x as i32, y as i32);
    let upper = mix(lattice(x, y, seed), lattice(x + 1, y, seed), u);
    let lower = mix(lattice(x, y + 1, seed), lattice(x + 1, y + 1, seed), u);
    mix(upper, lower, v)
}

/// [`noise`] along a line.
pub fn noise1(x: f64, seed: u32) -> f64 {
    let cell = x.floor();
    mix(lattice(cell as i32, 0, seed), lattice(cell as i32 + 1, 0, seed), smoothstep(0.0, 1.0, x - cell))
}

/// Three octaves of [`noise`], about -1..=1.
pub fn cloud(p: V2, seed: u32) -> f64 {
    let octave = |k: f64, s: u32| noise(scale2(p, k), seed.wrapping_add(s)) / k;
    (octave(1.0, 0) + octave(2.0, 1) + octave(4.0, 2)) / 1.75
}

/// Roughly normal, variance 1, from the bits of a lattice point: the sum of four bytes-pairs' uniform values.
pub fn grain(x: i32, y: i32, seed: u32) -> f64 {
    let (a, b) = (hash(x, y, seed), hash(x, y, seed ^ 0x5bd1_e995));
    let sum = (a & 0xffff) + (a >> 16) + (b & 0xffff) + (b >> 16);
    (f64::from(sum) / 65535.0 - 2.0) * 3f64.sqrt()
}
