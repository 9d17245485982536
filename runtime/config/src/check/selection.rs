//! Checks how the product is chosen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::gpio;
use crate::error::Problem;
use crate::line::{CODE_LINES, Selection};
use crate::raw::{RawGpioLine, RawProduct, RawSelection};

const DEFAULT_SETTLE: Duration = Duration::from_millis(50);

/// How the product is chosen; none on a line without `[recipes]`.
pub(super) fn selection(raw: Option<RawSelection>, products: &[(String, RawProduct)]) -> Result<Option<Selection>, Problem> {
    let Some(RawSelection { code, strobe, settle_ms, socket, start }) = raw else {
        return match products {
            [] => Ok(None),
            _ => Err(Problem::new(
                "[recipes]",
                "needs [line.recipe]: code = [GPIO lines], or a socket, by which a product is chosen",
            )),
        };
    };
    match (code, socket) {
        (Some(lines), None) => {
            if start.is_some() {
                let problem = "has no meaning beside line.recipe.code: the code is read at the start too; remove it";
                return Err(Problem::new("line.recipe.start", problem));
            }
            by_code(lines, strobe, settle_ms, products).map(Some)
        }
        (None, Some(path)) => {
            if strobe.is_some() || settle_ms.is_some() {
                let problem = "and line.recipe.settle_ms go with line.recipe.code, not with line.recipe.socket: remove them";
                return Err(Problem::new("line.recipe.strobe", problem));
            }
            by_socket(path, start, products).map(Some)
        }
        _ => {
            let problem = "chooses a product by line.recipe.code or at line.recipe.socket: exactly one of them";
            Err(Problem::new("[line.recipe]", problem))
        }
    }
}

fn by_code(
    lines: Vec<RawGpioLine>,
    strobe: Option<RawGpioLine>,
    settle: Option<Duration>,
    products: &[(String, RawProduct)],
) -> Result<Selection, Problem> {
    if !(1..=CODE_LINES).contains(&lines.len()) {
        let problem = format!("names {} GPIO lines; expected 1 to {CODE_LINES}", lines.len());
        return Err(Problem::new("line.recipe.code", problem));
    }
    refuse_no_products(products)?;
    let most = (1u32 << lines.len()) - 1;
    let mut codes = BTreeMap::new();
    for (name, product) in products {
        let key = format!("recipes.{name}.code");
        let Some(code) = product.code.filter(|code| *code <= most) else {
            let problem = format!(
                "is missing or out of bounds: expected the code that chooses the product, 0 to {most} with {} GPIO lines",
                lines.len()
            );
            return Err(Problem::new(key, problem));
        };
        if let Some(other) = codes.insert(code, name) {
            return Err(Problem::new(key, format!("is {code}, which is recipes.{other}.code already")));
        }
    }
    let lines = lines.into_iter().map(|line| gpio::line(line, "line.recipe.code")).collect::<Result<_, _>>()?;
    let strobe = strobe.map(|strobe| gpio::line(strobe, "line.recipe.strobe")).transpose()?;
    Ok(Selection::Code { lines, strobe, settle: settle.unwrap_or(DEFAULT_SETTLE) })
}

fn by_socket(path: PathBuf, start: Option<String>, products: &[(String, RawProduct)]) -> Result<Selection, Problem> {
    let missing = || {
        Problem::new(
            "line.recipe.start",
            "is missing: name the product that the line makes until one is chosen at line.recipe.socket",
        )
    };
    let start = start.ok_or_else(missing)?;
    refuse_no_products(products)?;
    if let Some((name, _)) = products.iter().find(|(_, product)| product.code.is_some()) {
        return Err(Problem::new(format!("recipes.{name}.code"), "has no meaning without line.recipe.code: remove it"));
    }
    match products.iter().position(|(name, _)| *name == start) {
        Some(start) => Ok(Selection::Socket { path, start }),
        None => {
            let names: Vec<&str> = products.iter().map(|(name, _)| name.as_str()).collect();
            let problem = format!("is {start:?}; expected one of [recipes]: {}", names.join(", "));
            Err(Problem::new("line.recipe.start", problem))
        }
    }
}

fn refuse_no_products(products: &[(String, RawProduct)]) -> Result<(), Problem> {
    match products {
        [] => Err(Problem::new("[line.recipe]", "chooses among [recipes], but there are none")),
        _ => Ok(()),
    }
}
