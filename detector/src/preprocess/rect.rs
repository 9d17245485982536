//! Sizes and rectangles in pixels.

use serde::{Deserialize, Serialize};

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl From<[u32; 2]> for Size {
    fn from([height, width]: [u32; 2]) -> Size {
        Size { height, width }
    }
}

impl From<Size> for [u32; 2] {
    fn from(size: Size) -> [u32; 2] {
        [size.height, size.width]
    }
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}
