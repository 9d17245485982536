//! What is told of a frame.

use std::time::Duration;

use serde::Serialize;

use super::queue::Ticket;
use crate::line::Disposition;

/// The answer for one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which frame.
    pub ticket: Ticket,
    /// What was found.
    pub judgement: Judgement,
    /// From capture to this answer.
    pub latency: Duration,
    /// What the line did with the part; nothing without a line.
    pub disposition: Option<Disposition>,
    /// Where several cameras look at the part: what each of them said. The rest of this is then the worst of them.
    pub views: Vec<Outcome>,
}

impl Outcome {
    /// The answer of one camera.
    pub fn new(ticket: Ticket, judgement: Judgement, latency: Duration) -> Outcome {
        Outcome { ticket, judgement, latency, disposition: None, views: Vec::new() }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// The detector judged.
    Scored {
        /// Image score.
        score: f32,
        /// Whether it is above the threshold.
        anomalous: bool,
    },
    /// Nobody can say; the fail-safe decides.
    Unknown {
        /// Why.
        reason: Reason,
        /// What a person wants to know; may be empty.
        detail: String,
    },
}

impl Judgement {
    /// An unknown without detail.
    pub fn unknown(reason: Reason) -> Judgement {
        Judgement::Unknown { reason, detail: String::new() }
    }

    fn parts(&self) -> (Option<f32>, Option<Reason>) {
        match self {
            Judgement::Scored { score, .. } => (Some(*score), None),
            Judgement::Unknown { reason, .. } => (None, Some(*reason)),
        }
    }

    /// The word for it.
    pub fn verdict(&self) -> &'static str {
        match self {
            Judgement::Scored { anomalous: false, .. } => "good",
            Judgement::Scored { anomalous: true, .. } => "anomalous",
            Judgement::Unknown { .. } => "unknown",
        }
    }
}

/// Why a frame is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The queue of parts was full.
    QueueOverflow,
    /// It waited longer than `max_age_ms`.
    Stale,
    /// The source gave no usable picture.
    Unreadable,
    /// The detector refused the picture or failed on it.
    ScoringFailed,
    /// The detector thread died.
    DetectorLost,
    /// The service was stopped before its turn.
    Stopped,
    /// No frame was taken at the part's time.
    NoFrame,
    /// More than one frame, or more than one part, may be meant.
    Ambiguous,
    /// The answer was not there when the line needed it.
    Deadline,
    /// Another part is so near that the actuator cannot tell them apart.
    Crowded,
    /// The belt's position was lost.
    EncoderLost,
    /// More parts are in transit than the line has room for.
    LineOverflow,
    /// The product was being changed: the code was not still, or the camera did not yet run on the new settings.
    RecipeChange,
    /// The code, or the name at the socket, is that of no recipe.
    NoRecipe,
}

impl Reason {
    /// The word for it in a verdict line.
    pub fn word(self) -> &'static str {
        match self {
            Reason::QueueOverflow => "queue_overflow",
            Reason::Stale => "stale",
            Reason::Unreadable => "unreadable",
            Reason::ScoringFailed => "scoring_failed",
            Reason::DetectorLost => "detector_lost",
            Reason::Stopped => "stopped",
            Reason::NoFrame => "no_frame",
            Reason::Ambiguous => "ambiguous",
            Reason::Deadline => "deadline",
            Reason::Crowded => "crowded",
            Reason::EncoderLost => "encoder_lost",
            Reason::LineOverflow => "line_overflow",
            Reason::RecipeChange => "recipe_change",
            Reason::NoRecipe => "no_recipe",
        }
    }
}

/// One line of the verdict file.
#[derive(Clone, Debug, Serialize)]
pub struct VerdictLine<'a> {
    /// Counts the frames, from 1. Gaps are free-running frames that newer ones replaced.
    pub sequence: u64,
    /// The part; null for free-running frames.
    pub part: Option<u64>,
    /// Camera or file.
    pub source: &'a str,
    /// `good`, `anomalous` or `unknown`.
    pub verdict: &'static str,
    /// Image score; null when unknown.
    pub score: Option<f32>,
    /// A score above it is anomalous; null when the product is in doubt.
    pub threshold: Option<f32>,
    /// Why it is unknown; null otherwise.
    pub reason: Option<Reason>,
    /// What the line did: `pass`, `reject`, `stop` or `nothing`; null without a line.
    pub disposition: Option<Disposition>,
    /// Capture to verdict.
    pub latency_ms: f64,
    /// Time of capture, or of the part's trigger; seconds since 1970, UTC.
    pub captured: f64,
    /// SHA-256 of the bundle; null when the product is in doubt.
    pub bundle: Option<&'a str>,
    /// The product; left out on a line without recipes, null when it is in doubt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Option<&'a str>>,
    /// What each camera said, where there are several; the rest of the line is then the worst of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewLine<'a>>,
}

/// What one of several cameras said.
#[derive(Clone, Debug, Serialize)]
pub struct ViewLine<'a> {
    /// The camera's name in the configuration.
    pub view: &'a str,
    /// Camera or file; empty when it gave no frame.
    pub source: &'a str,
    /// `good`, `anomalous` or `unknown`.
    pub verdict: &'static str,
    /// Image score; null when unknown.
    pub score: Option<f32>,
    /// A score above it is anomalous; null when the product is in doubt.
    pub threshold: Option<f32>,
    /// Why it is unknown; null otherwise.
    pub reason: Option<Reason>,
    /// Capture to verdict.
    pub latency_ms: f64,
    /// SHA-256 of the bundle; null when the product is in doubt.
    pub bundle: Option<&'a str>,
}

/// By what an outcome was judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct JudgedBy<'a> {
    /// Name of the camera.
    pub view: &'a str,
    /// Name of the product; nothing on a line without recipes, and nothing inside when it is in doubt.
    pub recipe: Option<Option<&'a str>>,
    /// A score above it is anomalous.
    pub threshold: Option<f32>,
    /// SHA-256 of the bundle.
    pub bundle: Option<&'a str>,
}

impl<'a> VerdictLine<'a> {
    /// The line of an outcome; `captured` is the time of its capture since 1970. It may be told much later: at the actuator.
    pub fn new(outcome: &'a Outcome, judged: impl Fn(&Ticket) -> JudgedBy<'a>, captured: Duration) -> VerdictLine<'a> {
        let (score, reason) = outcome.judgement.parts();
        let Ticket { sequence, part, source, .. } = &outcome.ticket;
        let JudgedBy { recipe, threshold, bundle, .. } = judged(&outcome.ticket);
        let view = |outcome: &'a Outcome| {
            let JudgedBy { view, threshold, bundle, .. } = judged(&outcome.ticket);
            let (score, reason) = outcome.judgement.parts();
            let (source, verdict) = (outcome.ticket.source.as_str(), outcome.judgement.verdict());
            ViewLine { view, source, verdict, score, threshold, reason, latency_ms: milliseconds(outcome.latency), bundle }
        };
        VerdictLine {
            sequence: *sequence,
            part: *part,
            source,
            verdict: outcome.judgement.verdict(),
            score,
            threshold,
            reason,
            disposition: outcome.disposition,
            latency_ms: milliseconds(outcome.latency),
            captured: round(captured.as_secs_f64(), 1e6),
            bundle,
            recipe,
            views: outcome.views.iter().map(view).collect(),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1e3, 1e3)
}

/// Microseconds are enough, and keep the numbers short.
fn round(value: f64, digits: f64) -> f64 {
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_promised_keys() {
        let ticket =
            Ticket { sequence: 7, part: Some(7), source: "a.png".into(), captured: Duration::ZERO, recipe: Some(0), view: 0 };
        let judgement = Judgement::Scored { score: 1.5, anomalous: true };
        let mut outcome = Outcome::new(ticket, judgement, Duration::from_micros(12_345));
        let by = JudgedBy { threshold: Some(1.25), bundle: Some("ab"), ..JudgedBy::default() };
        let told = |outcome: &Outcome, by: JudgedBy<'static>| {
            serde_json::to_string(&VerdictLine::new(outcome, |_| by, Duration::from_micros(99_987_655))).unwrap()
        };
        let json = |outcome: &Outcome| told(outcome, by);
        let expected = r#"{"sequence":7,"part":7,"source":"a.png","verdict":"anomalous","score":1.5,"threshold":1.25,"#
            .to_string()
            + r#""reason":null,"disposition":null,"latency_ms":12.345,"captured":99.987655,"bundle":"ab"}"#;
        assert_eq!(json(&outcome), expected);
        for reason in [Reason::QueueOverflow, Reason::Stale, Reason::Unreadable, Reason::ScoringFailed, Reason::Stopped] {
            outcome.judgement = Judgement::unknown(reason);
            let line = json(&outcome);
            assert!(line.contains(&format!(r#""verdict":"unknown","score":null,"threshold":1.25,"reason":"{}""#, reason.word())));
        }
        let in_doubt = told(&outcome, JudgedBy { recipe: Some(None), ..JudgedBy::default() });
        assert!(in_doubt.contains(r#""threshold":null"#) && in_doubt.ends_with(r#""bundle":null,"recipe":null}"#), "{in_doubt}");
        outcome.views = vec![outcome.clone()];
        let line = told(&outcome, JudgedBy { view: "side", recipe: Some(Some("nut")), ..by });
        let view =
            r#""recipe":"nut","views":[{"view":"side","source":"a.png","verdict":"unknown","score":null,"threshold":1.25,"#;
        assert!(line.contains(view), "{line}");
    }
}
