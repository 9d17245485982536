//! Groups of images that stay together.

use std::collections::HashMap;
use std::path::PathBuf;

/// Units of images that must all have the same use. The caller shuffles them.
pub(super) struct Units(pub(super) Vec<Vec<PathBuf>>);

impl Units {
    /// A unit for each group, and for each image without a group.
    pub(super) fn new(images: Vec<PathBuf>, groups: &HashMap<PathBuf, String>) -> Units {
        let mut units: Vec<Vec<PathBuf>> = Vec::new();
        let mut of_group: HashMap<&String, usize> = HashMap::new();
        for image in images {
            match groups.get(&image) {
                None => units.push(vec![image]),
                Some(group) => {
                    let index = *of_group.entry(group).or_insert(units.len());
                    if index == units.len() {
                        units.push(Vec::new());
                    }
                    units[index].push(image);
                }
            }
        }
        Units(units)
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Takes whole units from the end until there are at least `count` images. The images are sorted: an order that does not depend on
    /// the draw makes runs easy to compare.
    pub(super) fn take(&mut self, count: usize) -> Vec<PathBuf> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let Some(unit) = self.0.pop() else { break };
            taken.extend(unit);
        }
        taken.sort();
        taken
    }

    /// All images that are left, sorted.
    pub(super) fn all(self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = self.0.into_iter().flatten().collect();
        all.sort();
        all
    }
}
