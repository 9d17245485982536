//! The verdict line: an outcome as one JSON object.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Disposition, Outcome, Reason, ScoredVerdict, Ticket};

/// One line of the verdict file.
///
/// Every line has every field, except for `recipe` and `views`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictLine<'a> {
    /// Counts the frames, from 1. Gaps are free-running frames that newer ones replaced.
    pub sequence: u64,
    /// The number of the part; null for free-running frames.
    pub part: Option<u64>,
    /// The camera's device or the image file; empty when no frame was found.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// `good`, `anomalous` or `unknown`.
    #[serde(borrow)]
    pub verdict: Cow<'a, str>,
    /// Image score; null when unknown.
    pub score: Option<f32>,
    /// A score above it is anomalous; null when the product is in doubt.
    pub threshold: Option<f32>,
    /// Why the verdict is unknown; null otherwise.
    pub reason: Option<Reason>,
    /// What the production line did with the part; null without a line.
    pub disposition: Option<Disposition>,
    /// Time from capture to verdict, in milliseconds.
    pub latency_ms: f64,
    /// Time of capture, or of the part's trigger, in seconds since 1970, UTC.
    pub captured: f64,
    /// SHA-256 of the bundle; null when the product is in doubt.
    #[serde(borrow)]
    pub bundle: Option<Cow<'a, str>>,
    /// The product's name; left out on a line with one nameless product, null when it is in doubt.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub recipe: Option<Option<Cow<'a, str>>>,
    /// One entry for each view, if there are several; the other fields are then those of the worst view.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewLine<'a>>,
}

/// One of several views in a verdict line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewLine<'a> {
    /// The view's name in the configuration.
    #[serde(borrow)]
    pub view: Cow<'a, str>,
    /// The camera's device or the image file; empty when no frame was found.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// `good`, `anomalous` or `unknown`.
    #[serde(borrow)]
    pub verdict: Cow<'a, str>,
    /// Image score; null when unknown.
    pub score: Option<f32>,
    /// A score above it is anomalous; null when the product is in doubt.
    pub threshold: Option<f32>,
    /// Why the verdict is unknown; null otherwise.
    pub reason: Option<Reason>,
    /// Time from capture to verdict, in milliseconds.
    pub latency_ms: f64,
    /// SHA-256 of the bundle; null when the product is in doubt.
    #[serde(borrow)]
    pub bundle: Option<Cow<'a, str>>,
}

/// What an outcome was judged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct JudgedBy<'a> {
    /// Name of the view.
    pub view: &'a str,
    /// Name of the product: `None` on a line with one nameless product, `Some(None)` while the product is in doubt.
    pub product: Option<Option<&'a str>>,
    /// A score above it is anomalous.
    pub threshold: Option<f32>,
    /// SHA-256 of the bundle.
    pub bundle: Option<&'a str>,
}

impl<'a> VerdictLine<'a> {
    /// The verdict line of an outcome. `captured` is the time of its capture since 1970; the verdict line may be written much later.
    pub fn new(outcome: &'a Outcome, judged_by: impl Fn(&Ticket) -> JudgedBy<'a>, captured: Duration) -> VerdictLine<'a> {
        let Outcome { ticket, judged: ScoredVerdict { verdict, score, .. }, latency, disposition, views } = outcome;
        let JudgedBy { product, threshold, bundle, .. } = judged_by(ticket);
        VerdictLine {
            sequence: ticket.sequence,
            part: ticket.part,
            source: Cow::Borrowed(&ticket.source),
            verdict: Cow::Borrowed(verdict.word()),
            score: *score,
            threshold,
            reason: verdict.reason(),
            disposition: *disposition,
            latency_ms: milliseconds(*latency),
            captured: round(captured.as_secs_f64(), 1e6),
            bundle: bundle.map(Cow::Borrowed),
            recipe: product.map(|name| name.map(Cow::Borrowed)),
            views: views.iter().map(|view| ViewLine::new(view, judged_by(&view.ticket))).collect(),
        }
    }
}

impl<'a> ViewLine<'a> {
    fn new(outcome: &'a Outcome, JudgedBy { view, threshold, bundle, .. }: JudgedBy<'a>) -> ViewLine<'a> {
        let Outcome { ticket, judged: ScoredVerdict { verdict, score, .. }, latency, .. } = outcome;
        ViewLine {
            view: Cow::Borrowed(view),
            source: Cow::Borrowed(&ticket.source),
            verdict: Cow::Borrowed(verdict.word()),
            score: *score,
            threshold,
            reason: verdict.reason(),
            latency_ms: milliseconds(*latency),
            bundle: bundle.map(Cow::Borrowed),
        }
    }
}

/// Makes a key with the value null differ from a key that is left out.
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

fn milliseconds(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1e3, 1e3)
}

/// Rounds to microseconds, which keeps the numbers short.
fn round(value: f64, digits: f64) -> f64 {
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(judged: ScoredVerdict) -> Outcome {
        let ticket =
            Ticket { sequence: 7, part: Some(7), source: "a.png".into(), captured: Duration::ZERO, product: Some(0), view: 0 };
        Outcome::new(ticket, judged, Duration::from_micros(12_345))
    }

    fn json(outcome: &Outcome, by: JudgedBy<'static>) -> String {
        let line = VerdictLine::new(outcome, |_| by, Duration::from_micros(99_987_655));
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<VerdictLine<'_>>(&text).unwrap(), line, "a line is read back as it was written");
        text
    }

    #[test]
    fn lines_have_the_promised_keys() {
        let by = JudgedBy { threshold: Some(1.25), bundle: Some("ab"), ..JudgedBy::default() };
        let expected = r#"{"sequence":7,"part":7,"source":"a.png","verdict":"anomalous","score":1.5,"threshold":1.25,"#
            .to_string()
            + r#""reason":null,"disposition":null,"latency_ms":12.345,"captured":99.987655,"bundle":"ab"}"#;
        assert_eq!(json(&outcome(ScoredVerdict::scored(1.5, true)), by), expected);
        for reason in Reason::ALL {
            let line = json(&outcome(ScoredVerdict::unknown(reason)), by);
            assert!(line.contains(&format!(r#""verdict":"unknown","score":null,"threshold":1.25,"reason":"{}""#, reason.word())));
        }
    }

    #[test]
    fn a_product_in_doubt_is_null_and_a_nameless_product_is_left_out() {
        let unknown = outcome(ScoredVerdict::unknown(Reason::ProductChange));
        let in_doubt = json(&unknown, JudgedBy { product: Some(None), ..JudgedBy::default() });
        assert!(in_doubt.contains(r#""threshold":null"#) && in_doubt.ends_with(r#""bundle":null,"recipe":null}"#), "{in_doubt}");
        assert!(!json(&unknown, JudgedBy::default()).contains("recipe\":"));
    }

    #[test]
    fn each_of_several_views_has_its_own_line() {
        let by = JudgedBy { view: "side", product: Some(Some("nut")), threshold: Some(1.25), bundle: Some("ab") };
        let mut part = outcome(ScoredVerdict::unknown(Reason::Stopped));
        part.views = vec![part.clone()];
        let line = json(&part, by);
        let view =
            r#""recipe":"nut","views":[{"view":"side","source":"a.png","verdict":"unknown","score":null,"threshold":1.25,"#;
        assert!(line.contains(view), "{line}");
    }
}
