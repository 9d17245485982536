//! A picture of where a frame's time goes.

use std::fmt::Write;

use detector::evaluate::Latency;

use super::markup::escape;

const WIDTH: f64 = 720.0;
const COLOURS: [&str; 4] = ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1"];

/// An SVG: one bar of the stages' medians, to scale, and their percentiles below.
pub fn svg(title: &str, stages: &[(&str, Latency)]) -> String {
    let total: f64 = stages.iter().map(|(_, latency)| latency.p50).sum();
    let height = 92 + 20 * stages.len();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"20\" y=\"24\" font-weight=\"bold\">{}</text>\n",
        WIDTH + 40.0,
        escape(title)
    );
    let mut x = 20.0;
    for (i, (name, latency)) in stages.iter().enumerate() {
        let share = latency.p50 / total.max(f64::MIN_POSITIVE);
        let (width, colour, y) = (WIDTH * share, COLOURS[i % COLOURS.len()], 96 + 20 * i);
        let name = escape(name);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<rect x=\"{x:.1}\" y=\"36\" width=\"{width:.1}\" height=\"36\" fill=\"{colour}\"><title>{name}</title></rect>\n\
             <rect x=\"20\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\n\
             <text x=\"40\" y=\"{y}\">{name}: p50 {:.2} ms ({:.0} %), p95 {:.2} ms, p99 {:.2} ms</text>\n",
            y - 11,
            latency.p50,
            share * 100.0,
            latency.p95,
            latency.p99
        );
        x += width;
    }
    text + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_fill_the_bar_to_scale() {
        let latency = |p50| Latency { p50, p95: 2.0 * p50, p99: 3.0 * p50 };
        let text = svg("a<b", &[("backbone", latency(30.0)), ("search", latency(10.0))]);
        assert!(
            text.contains("x=\"20.0\" y=\"36\" width=\"540.0\"") && text.contains("x=\"560.0\" y=\"36\" width=\"180.0\""),
            "{text}"
        );
        assert!(text.contains("a&lt;b") && text.contains("search: p50 10.00 ms (25 %), p95 20.00 ms, p99 30.00 ms"), "{text}");
    }
}
