//! `apc-export inspect`, and texts that `bundle` prints too.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use detector::bundle::{Bundle, MANIFEST, Manifest};
use detector::calibration::{Calibration, percent};
use detector::files;
use detector::picture::Colour;
use detector::preprocess::{Preprocess, Resize};

use super::output::{Answer, print};
use crate::misses::{Choice, ExpectedMisses};
use crate::report::Report;

/// Show what a bundle holds: product, network, memory bank, threshold and its promise, self-test, evaluation at export.
///
/// The structure and all hashes are checked; the self-test is not run (see `verify`).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle
    bundle: PathBuf,
    /// Print one JSON document: id, manifest, report, sizes of the entries
    #[arg(long)]
    json: bool,
    /// Write the pictures of the good images with the highest scores into this folder
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

type Figures = serde_json::Map<String, serde_json::Value>;

pub(super) fn run(args: &Args) -> Result<Answer> {
    let bundle = Bundle::read(&args.bundle)?;
    let report: Report = serde_json::from_slice(bundle.file("report.json")?)
        .with_context(|| format!("{}: its report.json is unsound", args.bundle.display()))?;
    if let Some(folder) = &args.pictures {
        write_pictures(&bundle, &report, folder)?;
    }
    if args.json {
        let entries: std::collections::BTreeMap<&str, usize> = bundle.entries().collect();
        let document = serde_json::json!({
            "bundle": args.bundle, "id": bundle.id, "manifest": bundle.manifest, "report": report, "entries": entries,
        });
        print(&serde_json::to_string_pretty(&document).context("cannot write JSON")?)?;
    } else {
        print(&describe(&bundle, &report)?)?;
    }
    Ok(Answer::Yes)
}

fn describe(bundle: &Bundle, report: &Report) -> Result<String> {
    let Manifest { detector, input, backbone, bank, calibration, self_test, .. } = &bundle.manifest;
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:12} {value}");
    line("product", detector.name.clone())?;
    line("mode", format!("{}, seed {}", detector.mode, detector.seed))?;
    line("kit", format!("{}, bundle format {}", detector.kit, bundle.manifest.format))?;
    line("created", format!("{} UTC", utc(detector.created)))?;
    line("id", bundle.id.clone())?;
    line("input", describe_input(input))?;
    let network = &backbone.structure;
    line("backbone", format!("{}, outputs {}", network.name, network.layers.join(", ")))?;
    let (stored, float) = (bundle.file(&bank.file)?.len(), bank.vectors * bank.dims * 4);
    line(
        "memory bank",
        format!(
            "{} vectors of {} values, {} ({}); as f32 {}, {:.2} times the size",
            bank.vectors,
            bank.dims,
            quantisation(bank.quantisation),
            size(stored),
            size(float),
            float as f64 / stored as f64
        ),
    )?;
    line("threshold", promise(calibration))?;
    let highest = report.calibration.highest.iter().map(|good| format!("{} {:.4}", good.image, good.score)).collect::<Vec<_>>();
    if !highest.is_empty() {
        line("highest", highest.join(", "))?;
    }
    if let Some(text) = report.calibration.far_out() {
        line("far out", text)?;
    }
    if let Some(text) = calibration.describe_gap() {
        line("gap", text)?;
    }
    if let Some(misses) = &report.expected_misses {
        line("misses", expected(misses))?;
    }
    for choice in &report.choices {
        line("  at", choice_text(choice))?;
    }
    let quantiles = calibration.good_quantiles.iter().map(|[level, score]| format!("{:.0} %: {score:.4}", level * 100.0));
    line("good scores", quantiles.collect::<Vec<_>>().join("  "))?;
    let scores = self_test.references.iter().map(|reference| format!("{} {:.4}", reference.file, reference.score));
    let scores: Vec<_> = scores.collect();
    line("self-test", format!("{}; tolerance {} (relative)", scores.join(", "), self_test.tolerance))?;
    for (variant, section) in &bundle.manifest.variants {
        line(variant.name(), format!("{}, threshold {:.4}", section.file, section.calibration.threshold))?;
    }
    match &report.evaluation {
        Some(evaluation) => line("evaluation", figures(evaluation))?,
        None => line("evaluation", "none at export".into())?,
    }
    line("entries", MANIFEST.into())?;
    for (name, bytes) in bundle.entries() {
        line("", format!("{name}  {}", size(bytes)))?;
    }
    Ok(text)
}

fn describe_input(input: &Preprocess) -> String {
    let colour = match input.colour {
        Colour::Grey => "grey",
        Colour::Rgb => "colour",
    };
    let region = match input.region {
        None => "whole picture".to_string(),
        Some(region) => format!("region {}x{} px at {},{}", region.width, region.height, region.x, region.y),
    };
    let rule = match input.resize {
        Resize::Stretch => "stretched",
        Resize::Letterbox => "letterboxed",
    };
    let crop = input.crop.map_or(String::new(), |crop| format!(", centre crop {}x{} px", crop.width, crop.height));
    format!("{colour}, {region}, {rule} to {}x{} px{crop}", input.size.width, input.size.height)
}

fn quantisation(quantisation: detector::bank::Quantisation) -> &'static str {
    match quantisation {
        detector::bank::Quantisation::Int8 => "int8",
        detector::bank::Quantisation::F32 => "f32",
    }
}

/// The expected misses in words.
pub(super) fn expected(misses: &ExpectedMisses) -> String {
    let ExpectedMisses { samples, missed, low, high } = *misses;
    format!(
        "by distance alone {missed} of the {samples} anomalous samples are not above the threshold. Of new kinds of defects expect {} to be \
         missed (90 % confidence: {} to {}) if they are as far from good parts as the samples. Where the detector has learned from the \
         samples, it misses fewer defects like them",
        percent(missed as f64 / samples as f64),
        percent(low),
        percent(high)
    )
}

/// What another false-reject rate would mean.
fn choice_text(Choice { rate, threshold, estimated, misses, like_samples }: &Choice) -> String {
    let sure = if *estimated { " (an estimate)" } else { "" };
    let missed = |ExpectedMisses { samples, missed, low, high }: &ExpectedMisses| {
        format!("{missed} of {samples} samples missed ({} to {})", percent(*low), percent(*high))
    };
    let known = like_samples
        .as_ref()
        .map_or(String::new(), |like| format!("; by heads that have not learned from them {}", missed(like)));
    format!(
        "{} of good parts rejected: threshold {threshold:.4}{sure}, by distance alone {}{known}",
        percent(*rate),
        missed(misses)
    )
}

/// Writes the pictures of the good images with the highest scores into a folder, named by rank, score and image.
fn write_pictures(bundle: &Bundle, report: &Report, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot create", folder.display()))?;
    for (rank, good) in report.calibration.highest.iter().enumerate() {
        let Some(entry) = &good.picture else { continue };
        let image = good.image.replace(['/', '\\'], "-");
        let path = folder.join(format!("{:02} {:.4} {image}.png", rank + 1, good.score));
        files::write_atomic(&path, bundle.file(entry)?)?;
    }
    Ok(())
}

/// The threshold and how sure it is.
pub(super) fn promise(calibration: &Calibration) -> String {
    format!("{:.4}: parts with a higher score are anomalous; {}", calibration.threshold, calibration.describe())
}

/// The figures of an evaluation in one line.
pub(super) fn figures(evaluation: &Figures) -> String {
    let show = |(name, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::Number(number) if number.is_f64() => format!("{name} {:.4}", number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => format!("{name} {text}"),
        serde_json::Value::Null => format!("{name} none"),
        other => format!("{name} {other}"),
    };
    evaluation.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// A size for people.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Date and time of seconds since 1970 in UTC, as `2026-01-02 03:04:05` (Howard Hinnant's `civil_from_days`).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that the leap day is their last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `date -u -d @SECONDS`
    #[test]
    fn dates_are_utc() {
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_767_323_045, "2026-01-02 03:04:05"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ];
        for (seconds, date) in cases {
            assert_eq!(utc(seconds), date);
        }
        assert!(utc(u64::MAX).len() > 19, "absurd dates do not panic");
    }

    #[test]
    fn sizes_are_decimal() {
        assert_eq!([999, 1500, 2_750_000].map(size), ["999 B", "1.5 kB", "2.8 MB"]);
    }
}
