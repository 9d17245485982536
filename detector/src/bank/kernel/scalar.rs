//! The reference that every other kernel must equal.

use super::shared::{chosen, push_near, quantise};
use super::table::{Boxes, COARSE, FINE, GROUP, GROUP_CODES, Kernel, TILE};

pub(in crate::bank) const SCALAR: Kernel = Kernel {
    name: "scalar",
    dots: scalar_dots,
    dot: scalar_dot,
    boxes: scalar_boxes,
    scan: scalar_scan,
    thin: scalar_thin,
    quantise,
};

fn scalar_dots(queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
    for (row, dots) in rows.chunks_exact(stride).zip(dots.chunks_exact_mut(TILE)) {
        for (query, dot) in queries.chunks_exact(stride).zip(dots) {
            *dot = scalar_dot(query, row);
        }
    }
}

fn scalar_dot(query: &[i16], row: &[i8]) -> i32 {
    query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

fn scalar_scan(groups: &[i16], near: &[u32], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
    for (group, codes) in chosen(groups, near) {
        for row in 0..GROUP {
            let code = |k: usize| codes[(k / 2 * GROUP + row) * 2 + k % 2];
            let squared: i32 = (0..COARSE).map(|k| (i32::from(query[k]) - i32::from(code(k))).pow(2)).sum();
            if squared <= limit {
                found.push((group * GROUP + row) as u32);
            }
        }
    }
}

fn scalar_thin(query: &[i16; FINE], rows: &[[i16; FINE]], positions: &[u32], limit: i32, near: &mut Vec<(i32, u32)>) {
    let squared = |row: &[i16; FINE]| query.iter().zip(row).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum();
    push_near(rows, positions, limit, near, squared);
}

fn scalar_boxes(boxes: &[Boxes], query: &[i16; COARSE], limit: i32, near: &mut Vec<u32>) {
    for (at, [low, high]) in boxes.iter().enumerate() {
        for lane in 0..GROUP {
            let code = |codes: &[i16; GROUP_CODES], k: usize| i32::from(codes[(k / 2 * GROUP + lane) * 2 + k % 2]);
            let outside = |k: usize| (code(low, k) - i32::from(query[k])).max(i32::from(query[k]) - code(high, k)).max(0);
            if (0..COARSE).map(|k| outside(k).pow(2)).sum::<i32>() <= limit {
                near.push((at * GROUP + lane) as u32);
            }
        }
    }
}
