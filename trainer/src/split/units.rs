//! Groups of images that stay together.

use std::collections::HashMap;
use std::path::PathBuf;

/// Images that stay together, in an order that shuffling decides.
pub(super) struct Units(pub(super) Vec<Vec<PathBuf>>);

impl Units {
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

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// At least `count` images from the end, sorted: an order that does not depend on the draw makes runs easy to compare.
    pub(super) fn take(&mut self, count: usize) -> Vec<PathBuf> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let Some(unit) = self.0.pop() else { break };
            taken.extend(unit);
        }
        taken.sort();
        taken
    }

    pub(super) fn all(self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = self.0.into_iter().flatten().collect();
        all.sort();
        all
    }
}
