//! A line chart as SVG: a panel for each series, one above the other.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 110.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
/// What a panel's title takes of it.
const HEAD: f64 = 24.0;

/// A panel for each of `panels`, from zero to the most of its values, over the same `axis`.
pub fn lines(title: &str, axis: &str, panels: &[(&str, Vec<(f64, f64)>)]) -> String {
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::MIN_POSITIVE, f64::max);
    let end = most(
        &mut panels
            .iter()
            .flat_map(|(_, points)| points)
            .map(|(x, _)| *x),
    );
    let height = PANEL * panels.iter().map(|_| 1.0).sum::<f64>() + 60.0;
    // It has a background of its own: the text could not be read on a dark page.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">{title}</text>\n"
    );
    let mut top = 30.0;
    for (name, points) in panels {
        let highest = most(&mut points.iter().map(|(_, y)| *y));
        let (base, space) = (top + PANEL, PANEL - HEAD);
        let line: Vec<String> = points
            .iter()
            .map(|(x, y)| {
                let (x, y) = (
                    LEFT + x / end * (WIDTH - LEFT - RIGHT),
                    base - y / highest * space,
                );
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\">{name}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{highest:.1}</text>\
             <text x=\"{}\" y=\"{base}\" text-anchor=\"end\">0</text>\
             <line x1=\"{LEFT}\" y1=\"{base}\" x2=\"{}\" y2=\"{base}\" stroke=\"#999\"/>\
             <polyline points=\"{}\" fill=\"none\" stroke=\"#4878a8\" stroke-width=\"1.5\"/>",
            top + 18.0,
            LEFT - 6.0,
            top + HEAD + 6.0,
            LEFT - 6.0,
            WIDTH - RIGHT,
            line.join(" ")
        );
        top += PANEL;
    }
    let (right, bottom) = (WIDTH - RIGHT, top + 20.0);
    svg + &format!(
        "<text x=\"{right}\" y=\"{bottom}\" text-anchor=\"end\">{end:.0} {axis}</text>\n</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_reaches_from_zero_to_its_highest_value() {
        let svg = lines(
            "soak",
            "minutes",
            &[("memory", vec![(0.0, 0.0), (10.0, 40.0)])],
        );
        for part in [
            "points=\"70.0,140.0 704.0,54.0\"",
            ">40.0</text>",
            ">10 minutes</text>",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }
}
