//! The report of the comparison: a JSON document or tables.

use std::collections::BTreeMap;

use serde::Serialize;

use super::prepare::Prepared;

/// The JSON document.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// End to end, an image in to score and map out.
    pub cases: Vec<Case>,
    /// The search alone.
    pub search: Vec<Search>,
    /// Image AUROC of both with the same bank.
    pub accuracy: Vec<Accuracy>,
    /// Conditions that a reader must know to judge the figures.
    pub notes: Vec<String>,
}

/// Medians of one backbone and bank.
#[derive(Debug, Serialize)]
pub struct Case {
    pub backbone: String,
    /// Vectors.
    pub bank: usize,
    /// Engine and form of the network of our program.
    pub engine: String,
    pub variant: String,
    pub ours_ms: f64,
    pub peers_ms: BTreeMap<String, f64>,
    /// The fastest peer's time over ours, round by round.
    pub ratio: Spread,
}

/// Medians of the search of one frame's patches.
#[derive(Debug, Serialize)]
pub struct Search {
    pub backbone: String,
    pub bank: usize,
    pub ours_ms: f64,
    pub faiss_ms: f64,
    /// faiss's time over ours, round by round.
    pub ratio: Spread,
    /// Share of patches whose nearest neighbour is the float search's.
    pub agreement: f64,
}

#[derive(Debug, Serialize)]
pub struct Accuracy {
    pub backbone: String,
    pub bank: usize,
    pub images: usize,
    pub ours: f64,
    pub peer: f64,
    /// With anomalib's own coreset, where asked for.
    pub peer_own_coreset: Option<f64>,
}

/// Quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

impl Spread {
    /// The quartiles of at least one value.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get(((values.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(f64::NAN);
        Self { lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }

    /// The quartiles of the ratios of two series that were measured in turns: a disturbance of the machine disturbs both.
    pub fn of_ratios(theirs: &[f64], ours: &[f64]) -> Self {
        Self::of(theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect())
    }
}

impl Case {
    /// `times` begins with ours; the others are peers, by name.
    pub fn new(case: &Prepared, names: &[&str], times: &[Vec<f64>]) -> Self {
        let median = |times: &Vec<f64>| Spread::of(times.clone()).median;
        let fastest = times[1..].iter().min_by(|a, b| median(a).total_cmp(&median(b))).unwrap_or(&times[0]);
        Self {
            backbone: case.backbone.clone(),
            bank: case.bank,
            engine: case.ours.engine.clone(),
            variant: case.ours.variant.clone(),
            ours_ms: median(&times[0]),
            peers_ms: names[1..].iter().zip(&times[1..]).map(|(name, times)| ((*name).into(), median(times))).collect(),
            ratio: Spread::of_ratios(fastest, &times[0]),
        }
    }
}

impl Report {
    /// The tables for people.
    pub fn tables(&self) -> String {
        let ratio = |ratio: Spread| format!("{:.2}x ({:.2}-{:.2})", ratio.median, ratio.lower, ratio.upper);
        let mut text = String::from("end to end, ms; fastest peer over ours: median (quartiles)\n");
        text += "| backbone | bank | ours | | torch | ONNX Runtime | OpenVINO | ratio |\n|---|---|---|---|---|---|---|---|\n";
        for case in &self.cases {
            let peer = |name: &str| case.peers_ms.get(name).map_or_else(|| "-".into(), |ms| format!("{ms:.1}"));
            let (torch, onnxruntime, openvino) = (peer("torch"), peer("onnxruntime"), peer("openvino"));
            let Case { backbone, bank, engine, variant, ours_ms, ratio: found, .. } = case;
            let found = ratio(*found);
            text += &format!(
                "| {backbone} | {bank} | {ours_ms:.1} | {engine} {variant} | {torch} | {onnxruntime} | {openvino} | {found} |\n"
            );
        }
        text +=
            "\nthe search alone, ms\n| backbone | bank | ours | faiss | ratio | same neighbour |\n|---|---|---|---|---|---|\n";
        for Search { backbone, bank, ours_ms, faiss_ms, ratio: found, agreement } in &self.search {
            let agreement = agreement * 100.0;
            text += &format!("| {backbone} | {bank} | {ours_ms:.1} | {faiss_ms:.1} | {} | {agreement:.2} % |\n", ratio(*found));
        }
        if !self.accuracy.is_empty() {
            text += "\nimage AUROC with the same bank\n| backbone | bank | images | ours | peer | peer, own coreset |\n|---|---|---|---|---|---|\n";
        }
        for Accuracy { backbone, bank, images, ours, peer, peer_own_coreset } in &self.accuracy {
            let own = crate::figures::show(*peer_own_coreset, 4);
            text += &format!("| {backbone} | {bank} | {images} | {ours:.4} | {peer:.4} | {own} |\n");
        }
        for note in &self.notes {
            text += &format!("note: {note}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use super::super::ours::Ours;

    #[test]
    fn the_ratio_is_the_fastest_peers() {
        let times = vec![vec![10.0, 20.0, 10.0], vec![90.0, 90.0, 90.0], vec![30.0, 60.0, 20.0]];
        let ours = Ours { engine: "ort-cpu".into(), variant: "int8".into(), library: PathBuf::new() };
        let [weights, run, bundle, peers] = [(); 4].map(|()| PathBuf::new());
        let prepared = Prepared { backbone: "resnet18".into(), bank: 2140, weights, run, bundle, ours, peers };
        let case = Case::new(&prepared, &["ours", "torch", "openvino"], &times);
        assert_eq!((case.ours_ms, case.peers_ms["openvino"], case.peers_ms["torch"]), (10.0, 30.0, 90.0));
        assert_eq!(case.ratio, Spread { lower: 3.0, median: 3.0, upper: 3.0 });
        let report = Report { cases: vec![case], ..Report::default() };
        let text = report.tables();
        assert!(text.contains("| resnet18 | 2140 | 10.0 | ort-cpu int8 | 90.0 | - | 30.0 | 3.00x (3.00-3.00) |"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["cases"][0]["peers_ms"]["openvino"], 30.0);
    }
}
