//! The page around figures and pictures.

use detector::metrics::{Decisions, Ranking};

use super::chart;
use super::content::Report;
use super::defects::DefectRow;
use super::text::{number, percent, share};
use super::threshold;
use crate::workbench::heatmap;
use crate::workbench::markup::escape;

pub(super) fn html(report: &Report<'_>, ranking: &Ranking, defects: &[DefectRow<'_>], galleries: &str) -> String {
    let title = escape(report.title);
    let decisions = ranking.at(report.threshold);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <title>{title} – evaluation</title>\n<style>\n{style}</style>\n</head>\n<body>\n<header><p>Evaluation</p>\
         <h1>{title}</h1>{facts}</header>\n<main>\n{figures}{charts}{table}{threshold}{legend}{galleries}</main>\n</body>\n</html>\n",
        style = include_str!("style.css"),
        facts = facts(report, ranking),
        figures = figures(report, ranking, &decisions),
        charts = charts(report, ranking, &decisions),
        table = table(defects),
        threshold = threshold::html(report.at_export, &|entry| report.good_pictures.get(entry).cloned().unwrap_or_default()),
        legend = legend(report.threshold),
    )
}

fn facts(report: &Report<'_>, ranking: &Ranking) -> String {
    let mut list = format!(
        "<dt>images</dt><dd>{} good, {} anomalous</dd><dt>threshold</dt><dd>{}</dd>",
        ranking.good(),
        ranking.anomalous(),
        number(report.threshold)
    );
    for (name, value) in report.facts {
        list += &format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    format!("<dl>{list}</dl>")
}

fn figures(report: &Report<'_>, ranking: &Ranking, decisions: &Decisions) -> String {
    let Decisions { passed, false_rejects, true_rejects, missed } = *decisions;
    let best = ranking.best_f1();
    let at = best.map_or(String::new(), |b| format!("best; above score {}", number(b.threshold)));
    let cards = [
        ("False rejects", percent(decisions.false_reject_rate()), format!("{false_rejects} of {} good", false_rejects + passed)),
        ("Misses", percent(decisions.miss_rate()), format!("{missed} of {} anomalous", missed + true_rejects)),
        ("Image AUROC", share(ranking.auroc()), String::new()),
        ("Image F1", share(best.map(|b| b.f1)), at),
        ("Pixel AUROC", share(report.pixels.auroc), String::new()),
        ("Pixel F1", share(report.pixels.f1), "best".to_owned()),
        ("AUPRO", share(report.pixels.aupro), "up to 0.3 false positives".to_owned()),
    ];
    let card = |(name, value, note): (&str, String, String)| {
        format!("<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>")
    };
    let cards: String = cards.into_iter().map(card).collect();
    format!("<section><h2>Figures</h2><dl class=\"figures\">{cards}</dl></section>\n")
}

fn charts(report: &Report<'_>, ranking: &Ranking, decisions: &Decisions) -> String {
    let roc = match ranking.roc_curve() {
        curve if curve.is_empty() => "<p class=\"none\">A ROC curve needs good and anomalous images.</p>".to_owned(),
        curve => chart::roc(&curve, decisions),
    };
    let scores = chart::histogram(report.images, report.threshold);
    format!(
        "<section class=\"charts\"><figure><figcaption><h2>Scores</h2><span class=\"key good\">good</span> \
         <span class=\"key anomalous\">anomalous</span> <span class=\"key threshold\">threshold</span></figcaption>{scores}\
         </figure><figure><figcaption><h2>ROC</h2><span class=\"key point\">at the threshold</span></figcaption>{roc}\
         </figure>{}</section>\n",
        report.at_export.training.iter().map(losses).collect::<String>()
    )
}

fn losses((name, values): (&String, &Vec<f32>)) -> String {
    let title = match name.as_str() {
        "finetune" => "Fine-tuning",
        "defects" => "Learning defects",
        other => other,
    };
    format!("<figure><figcaption><h2>{}</h2></figcaption>{}</figure>", escape(title), chart::losses(values))
}

fn table(defects: &[DefectRow<'_>]) -> String {
    let row = |d: &DefectRow<'_>| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} – {}</td></tr>\n",
            escape(d.name),
            d.decisions.missed + d.decisions.true_rejects,
            d.decisions.missed,
            percent(d.decisions.miss_rate()),
            share(d.auroc),
            number(d.lowest),
            number(d.highest)
        )
    };
    let rows: String = defects.iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<section><h2>Types of defects</h2><div class=\"scroll\"><table><thead><tr><th scope=\"col\">type</th>\
         <th scope=\"col\">images</th><th scope=\"col\">missed</th><th scope=\"col\">miss rate</th>\
         <th scope=\"col\">AUROC against good</th><th scope=\"col\">scores</th></tr></thead><tbody>{rows}</tbody></table></div>\
         </section>\n"
    )
}

/// The meaning of the colours of a heat map.
fn legend(threshold: f32) -> String {
    let stops: Vec<String> =
        (0..=10).map(|i| heatmap::colour(i as f32 / 10.0)).map(|[r, g, b]| format!("rgb({r} {g} {b})")).collect();
    format!(
        "<section class=\"legend\"><h2>Pictures</h2><p>Colours of the heat maps, as scores of patches: far from all known good ones, or like a known defect. \
         The scale is the same in all pictures.</p><div class=\"scale\" style=\"background:linear-gradient(90deg,{})\"></div>\
         <div class=\"ends\"><span>{} or less</span><span>{} (threshold)</span><span>{} or more</span></div></section>\n",
        stops.join(","),
        number(threshold * 0.5),
        number(threshold),
        number(threshold * 1.5)
    )
}
