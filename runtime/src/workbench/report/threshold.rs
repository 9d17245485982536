//! The good images that set the threshold, and what other thresholds would mean.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::at_export::{AtExport, Choice, GoodImage, Misses};
use super::text::{number, percent};
use crate::workbench::markup::escape;

/// `picture` gives the PNG of an entry of the bundle; empty where it has none.
pub(super) fn html(at_export: &AtExport, picture: &dyn Fn(&str) -> Vec<u8>) -> String {
    format!("{}{}", highest(at_export, picture), choices(&at_export.choices))
}

fn highest(AtExport { calibration, .. }: &AtExport, picture: &dyn Fn(&str) -> Vec<u8>) -> String {
    if calibration.highest.is_empty() {
        return String::new();
    }
    let far = calibration.highest.iter().filter(|good| good.far_out).count();
    let warning = calibration.without_far_out.map_or(String::new(), |threshold| {
        format!(
            " {far} of them lie far above all others and may show a defect or another light: look at them. Without them the threshold would \
             be {}.",
            number(threshold)
        )
    });
    let card = |good: &GoodImage| {
        let name = escape(&good.image);
        let bytes = good.picture.as_deref().map(picture).unwrap_or_default();
        let shown = match bytes.is_empty() {
            true => String::new(),
            false => format!(
                "<div class=\"panels\"><figure><img alt=\"picture of {name}\" src=\"data:image/png;base64,{}\">\
                 <figcaption>picture</figcaption></figure></div>",
                BASE64_STANDARD.encode(bytes)
            ),
        };
        let far = if good.far_out { ", far out" } else { "" };
        format!(
            "<article><h3>{name}</h3><p><span class=\"class\">good</span> score <strong>{}</strong>{far}</p>{shown}</article>\n",
            number(good.score)
        )
    };
    let cards: String = calibration.highest.iter().map(card).collect();
    format!(
        "<section><h2>Good images that set the threshold</h2><p>The good images of the training with the highest scores, each scored by a \
         detector that has not learned from it.{warning}</p><div class=\"cards\">{cards}</div></section>\n"
    )
}

fn choices(choices: &[Choice]) -> String {
    if choices.is_empty() {
        return String::new();
    }
    let misses = |Misses { samples, missed, low, high }: Misses| {
        format!("{missed} of {samples} ({} to {})", percent(Some(low)), percent(Some(high)))
    };
    let row = |choice: &Choice| {
        let estimate = if choice.estimated { " (an estimate)" } else { "" };
        let like = choice.like_samples.map_or_else(|| "–".to_owned(), misses);
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}{estimate}</td><td>{like}</td><td>{}</td></tr>\n",
            percent(Some(choice.rate)),
            number(choice.threshold),
            misses(choice.misses)
        )
    };
    let rows: String = choices.iter().map(row).collect();
    format!(
        "<section><h2>False rejects against misses</h2><p>Anomalous samples that other thresholds would miss, with 90 % confidence \
         intervals of the miss rate.</p><div class=\"scroll\"><table><thead><tr><th scope=\"col\">good parts rejected</th>\
         <th scope=\"col\">threshold</th><th scope=\"col\">missed, defects like the samples</th>\
         <th scope=\"col\">missed, by distance alone (new kinds)</th></tr></thead><tbody>{rows}</tbody></table></div></section>\n"
    )
}
