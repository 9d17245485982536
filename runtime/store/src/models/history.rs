//! Which models were activated.

use detector::Result;
use serde::{Deserialize, Serialize};

use crate::text::toml;

/// Most activations that are remembered.
pub(super) const HISTORY_LIMIT: usize = 16;

/// Content of `active.toml`: the last is active, rollback goes to the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Ids.
    pub history: Vec<String>,
}

impl History {
    /// The active model's id.
    pub fn active(&self) -> Option<&str> {
        self.history.last().map(String::as_str)
    }

    /// The id that rollback would make active.
    pub fn before(&self) -> Option<&str> {
        self.history.iter().nth_back(1).map(String::as_str)
    }

    /// With this model active.
    pub fn activated(mut self, id: &str) -> History {
        if self.active() != Some(id) {
            self.history.push(id.into());
        }
        self.history.drain(..self.history.len().saturating_sub(HISTORY_LIMIT));
        self
    }

    /// With the one before active again; nothing if there is none.
    pub fn rolled_back(mut self) -> Option<History> {
        self.before()?;
        self.history.pop();
        Some(self)
    }

    /// The text of `active.toml`.
    pub(crate) fn to_toml(&self) -> Result<Vec<u8>> {
        let note = "# Written by `apc-runtime model`. The last one is active; a rollback goes to the one before it.\n";
        Ok((note.to_owned() + &toml(self)?).into_bytes())
    }

    /// Without a model. Two equal neighbours would make a rollback that changes nothing.
    pub(super) fn without(mut self, id: &str) -> History {
        self.history.retain(|other| other != id);
        self.history.dedup();
        self
    }
}
