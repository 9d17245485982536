//! `[line.recipe]`: how the product that is being made is chosen.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::InputConfig;
use super::raw::some_ms;

/// Most lines of a code.
pub const CODE_LINES: usize = 8;

/// How the recipe is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum ChosenBy {
    /// By levels on lines.
    Code {
        /// The lines, that of the lowest bit first.
        lines: Vec<InputConfig>,
        /// The code counts from an edge here on, not as soon as it is still.
        strobe: Option<InputConfig>,
        /// So long the lines must be still.
        settle: Duration,
    },
    /// By the recipe's name in a datagram to this socket.
    Socket {
        /// The socket.
        path: PathBuf,
        /// The recipe until then.
        start: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChoice {
    code: Option<Vec<InputConfig>>,
    strobe: Option<InputConfig>,
    #[serde(default, deserialize_with = "some_ms")]
    settle_ms: Option<Duration>,
    socket: Option<PathBuf>,
    start: Option<String>,
}

impl TryFrom<RawChoice> for ChosenBy {
    type Error = String;

    fn try_from(raw: RawChoice) -> Result<ChosenBy, String> {
        let RawChoice { code, strobe, settle_ms, socket, start } = raw;
        match (code, socket) {
            (Some(lines), None) => {
                if !(1..=CODE_LINES).contains(&lines.len()) {
                    return Err(format!("recipe.code names {} lines; expected 1 to {CODE_LINES}", lines.len()));
                }
                lines.iter().try_for_each(|line| line.check("recipe.code"))?;
                strobe.as_ref().map_or(Ok(()), |strobe| strobe.check("recipe.strobe"))?;
                if start.is_some() {
                    return Err(
                        "recipe.start says nothing beside recipe.code: the code is read at the start too; remove it".into()
                    );
                }
                Ok(ChosenBy::Code { lines, strobe, settle: settle_ms.unwrap_or(Duration::from_millis(50)) })
            }
            (None, Some(path)) => {
                if strobe.is_some() || settle_ms.is_some() {
                    return Err(
                        "recipe.strobe and recipe.settle_ms go with recipe.code, not with recipe.socket: remove them".into()
                    );
                }
                let start = start.ok_or("recipe.start is missing: the recipe until one is chosen at recipe.socket")?;
                Ok(ChosenBy::Socket { path, start })
            }
            _ => Err("a recipe is chosen by recipe.code or at recipe.socket: exactly one of them".into()),
        }
    }
}
