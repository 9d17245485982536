//! `apc-export bundle`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use detector::bank::Quantisation;
use detector::run::ReferenceKind;

use super::inspect;
use super::output::{Answer, print};
use super::progress::Bars;
use crate::bundle::{Exported, Options, export};

/// Make a bundle of a finished run: ONNX network, quantised memory bank, threshold, self-test, report.
///
/// Before anything is written, the parity gate compares the exported network with libtorch's stored results on every reference of
/// the run. If they differ too much, the exit code is 1 and nothing is written. The same run always gives the same bytes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder that `apc-trainer train` wrote
    run: PathBuf,
    /// The bundle to write; an existing file is replaced in one step
    #[arg(short, long, value_name = "NAME.apc")]
    output: PathBuf,
    /// How the memory bank's vectors are stored
    #[arg(long, value_enum, default_value = "int8")]
    bank: Bank,
    /// Add detector.onnx, the network with the memory bank inside: for the engines cuda and tensorrt
    #[arg(long)]
    fused: bool,
    /// Add backbone.int8.onnx, for the engine ort-cpu where `apc-runtime bench` shows that it is faster
    #[arg(long)]
    int8: bool,
    /// Leave out the evaluation on the run's data set
    #[arg(long)]
    no_evaluate: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bank {
    /// A quarter of the size
    Int8,
    /// As learned
    F32,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let bank = match args.bank {
        Bank::Int8 => Quantisation::Int8,
        Bank::F32 => Quantisation::F32,
    };
    let options = Options { bank, evaluate: !args.no_evaluate, fused: args.fused, int8: args.int8 };
    let mut bars = Bars::default();
    let exported = export(&args.run, &args.output, &options, &mut |title, done, total| bars.set(title, done, total))?;
    if args.json {
        let document = serde_json::json!({
            "bundle": args.output, "id": exported.bundle.id, "bytes": exported.bytes, "report": exported.report,
        });
        print(&serde_json::to_string_pretty(&document).context("cannot write JSON")?)?;
    } else {
        print(&summary(args, &exported))?;
    }
    Ok(Answer::Yes)
}

fn summary(args: &Args, exported: &Exported) -> String {
    let mut text = format!("{}: {}\n", args.output.display(), inspect::size(exported.bytes));
    text += &format!("id         {}\n", exported.bundle.id);
    for kind in &exported.report.parity.kinds {
        let name = match kind.kind {
            ReferenceKind::Good => "good",
            ReferenceKind::Anomalous => "anomalous",
            ReferenceKind::Noise => "noise",
        };
        text += &format!(
            "parity     {} {name}: feature maps {:.1e}, score maps {:.1e}, image scores {:.1e} (relative, at most {:.0e})\n",
            kind.references, kind.feature_maps, kind.score_map, kind.image_score, exported.report.parity.limit
        );
    }
    if let Some(bank) = &exported.report.parity.bank {
        text += &format!("int8 bank  changes image scores by up to {:.1e} (at most {:.0e})\n", bank.image_score, bank.limit);
    }
    for (variant, report) in &exported.report.variants {
        let auroc = |value: Option<f64>| value.map_or("none".into(), |value| format!("{value:.4}"));
        let kept =
            report.float_convolutions.map_or(String::new(), |kept| format!("; float convolutions at its beginning: {kept}"));
        text += &format!(
            "{:10} changes image scores by up to {:.1e} (at most {:.0e}); image AUROC {}, float {}{kept}\n",
            variant.name(),
            report.image_score,
            report.limit,
            auroc(report.image_auroc),
            auroc(report.float_image_auroc)
        );
    }
    text += &format!("threshold  {}\n", inspect::promise(&exported.bundle.manifest.calibration));
    if let Some(gap) = exported.bundle.manifest.calibration.describe_gap() {
        text += &format!("gap        {gap}\n");
    }
    if let Some(misses) = &exported.report.expected_misses {
        text += &format!("misses     {}\n", inspect::expected(misses));
    }
    if let Some(evaluation) = &exported.report.evaluation {
        text += &format!("evaluation {}\n", inspect::figures(evaluation));
    }
    text
}
