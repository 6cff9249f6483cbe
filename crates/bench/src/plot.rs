//! A bar chart as SVG.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const ROW: f64 = 28.0;
const LABELS: f64 = 210.0;
/// What the number behind the longest bar takes.
const NUMBERS: f64 = 70.0;

/// A chart of one horizontal bar for each name, with its number behind it.
pub fn bars(title: &str, values: &[(&str, f64)]) -> String {
    let longest = values
        .iter()
        .fold(1.0, |longest: f64, (_, value)| longest.max(*value));
    let height = ROW * (values.iter().map(|_| 1.0).sum::<f64>() + 1.5);
    // It has a background of its own: the text could not be read on a dark page.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n\
         <title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">{title}</text>\n"
    );
    let mut top = ROW * 1.25;
    for (name, value) in values {
        let width = value / longest * (WIDTH - LABELS - NUMBERS);
        let (text, bar, number) = (top + 15.0, ROW - 8.0, LABELS + width + 6.0);
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{text}\">{name}</text>\
             <rect x=\"{LABELS}\" y=\"{top}\" width=\"{width:.1}\" height=\"{bar}\" fill=\"#4878a8\"/>\
             <text x=\"{number:.1}\" y=\"{text}\">{value:.0}</text>"
        );
        top += ROW;
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share_of_the_longest() {
        let svg = bars("GET", &[("one", 1000.0), ("other", 250.0)]);
        for part in [
            "viewBox=\"0 0 720 98\"",
            "<title>GET</title>",
            ">one</text><rect x=\"210\" y=\"35\" width=\"440.0\"",
            ">other</text><rect x=\"210\" y=\"63\" width=\"110.0\"",
            ">250</text>",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }

    #[test]
    fn a_service_without_requests_has_no_bar() {
        assert!(bars("GET", &[("one", 0.0)]).contains("width=\"0.0\""));
    }
}
