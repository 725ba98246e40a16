//! Pictures of points on two axes, drawn as SVG: inside a page, whose colours they take, or as files.

use std::fmt::Write as _;

/// Points of some runs on two axes.
pub struct Plot {
    pub title: String,
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// The line on which y equals x.
    pub diagonal: bool,
}

/// An axis.
pub struct Axis {
    pub name: String,
    /// Ends, where they are given; else they follow from the points.
    pub ends: Option<[f64; 2]>,
}

/// One run.
pub struct Series {
    pub name: String,
    pub points: Vec<Point>,
    /// Drawn in the colour of what the page is about.
    pub strong: bool,
    /// Points are joined in their order.
    pub joined: bool,
}

/// One point.
pub struct Point {
    pub at: [f64; 2],
    /// The interval of y.
    pub y: Option<[f64; 2]>,
    pub label: String,
}

/// The page's colours, for a picture by itself.
const STYLE: &str = "text{fill:#1b1f24;font-size:12px}line{stroke:#1b1f24}.grid{stroke:#d0d7de}.diagonal{stroke:#57606a;\
    stroke-dasharray:4 4}polyline{fill:none;stroke-width:1.5}.paper{fill:#ffffff}.plain circle,.plain rect,.plain path{fill:#8c959f}\
    .strong circle,.strong rect,.strong path{fill:#0b6e4f}.plain polyline{stroke:#8c959f}.strong polyline{stroke:#0b6e4f}";

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 52.0;
const MARGIN: f64 = 14.0;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Three figures, without zeros that say nothing.
fn short(x: f64) -> String {
    let digits =
        if x.abs() >= 100.0 || x == 0.0 { 0 } else { (2.0 - x.abs().log10().floor()).clamp(0.0, 4.0) as usize };
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Runs differ in shape, not in colour alone.
fn mark(number: usize, x: f64, y: f64) -> String {
    match number % 3 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        1 => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\"/>", x - 4.5, y - 4.5),
        _ => format!("<path d=\"M{x:.1} {:.1}l5.5 9h-11z\"/>", y - 5.5),
    }
}

impl Plot {
    fn ends(&self, axis: usize) -> [f64; 2] {
        let given = if axis == 0 { &self.x } else { &self.y };
        if let Some(ends) = given.ends {
            return ends;
        }
        let points = self.series.iter().flat_map(|s| &s.points);
        let all = points.flat_map(|p| {
            let more = if axis == 1 { p.y } else { None };
            [Some(p.at[axis]), more.map(|m| m[0]), more.map(|m| m[1])].into_iter().flatten()
        });
        let (mut low, mut high) =
            all.filter(|x| x.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        // Zero belongs to what is shown: lengths are compared.
        (low, high) = (low.min(0.0), high.max(0.0));
        if high - low <= 0.0 || !(high - low).is_finite() {
            return [0.0, 1.0];
        }
        let room = (high - low) * 0.06;
        [if low < 0.0 { low - room } else { low }, high + room]
    }

    /// As an SVG element.
    pub fn svg(&self) -> String {
        let (x_ends, y_ends) = (self.ends(0), self.ends(1));
        let x = |v: f64| LEFT + (v - x_ends[0]) / (x_ends[1] - x_ends[0]) * (WIDTH - LEFT - MARGIN);
        let y = |v: f64| HEIGHT - BOTTOM - (v - y_ends[0]) / (y_ends[1] - y_ends[0]) * (HEIGHT - BOTTOM - MARGIN);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(&format!("{}: {} over {}", self.title, self.y.name, self.x.name))
        );
        let line = |out: &mut String, class: &str, a: [f64; 2], b: [f64; 2]| {
            let _ = write!(
                out,
                "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
                a[0], a[1], b[0], b[1]
            );
        };
        let text = |out: &mut String, at: [f64; 2], how: &str, text: &str| {
            let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" {how}>{}</text>", at[0], at[1], escaped(text));
        };
        for i in 0..=4 {
            let share = f64::from(i) / 4.0;
            let (vx, vy) = (x_ends[0] + share * (x_ends[1] - x_ends[0]), y_ends[0] + share * (y_ends[1] - y_ends[0]));
            line(&mut out, "grid", [LEFT, y(vy)], [WIDTH - MARGIN, y(vy)]);
            text(&mut out, [LEFT - 6.0, y(vy) + 4.0], "text-anchor=\"end\"", &short(vy));
            text(&mut out, [x(vx), HEIGHT - BOTTOM + 18.0], "text-anchor=\"middle\"", &short(vx));
        }
        let [left, right, foot, head] = [x(x_ends[0]), x(x_ends[1]), y(y_ends[0]), y(y_ends[1])];
        line(&mut out, "axis", [left, foot], [right, foot]);
        line(&mut out, "axis", [left, foot], [left, head]);
        if y_ends[0] < 0.0 {
            line(&mut out, "axis", [left, y(0.0)], [right, y(0.0)]);
        }
        if self.diagonal {
            line(&mut out, "diagonal", [left, foot], [right, head]);
        }
        text(&mut out, [(left + right) / 2.0, HEIGHT - 10.0], "text-anchor=\"middle\"", &self.x.name);
        let middle = (foot + head) / 2.0;
        let turned = format!("text-anchor=\"middle\" transform=\"rotate(-90 14 {middle:.1})\"");
        text(&mut out, [14.0, middle], &turned, &self.y.name);
        for (number, series) in self.series.iter().enumerate() {
            let points: Vec<&Point> = series.points.iter().filter(|p| p.at.iter().all(|v| v.is_finite())).collect();
            let class = if series.strong { "strong" } else { "plain" };
            let _ = write!(out, "<g class=\"{class}\">");
            if series.joined {
                let all: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", x(p.at[0]), y(p.at[1]))).collect();
                let _ = write!(out, "<polyline points=\"{}\"/>", all.join(" "));
            }
            for p in points {
                let (cx, cy) = (x(p.at[0]), y(p.at[1]));
                if let Some([low, high]) = p.y.filter(|i| i.iter().all(|v| v.is_finite())) {
                    line(&mut out, "whisker", [cx, y(low)], [cx, y(high)]);
                }
                out.push_str(&mark(number, cx, cy));
                if !p.label.is_empty() {
                    text(&mut out, [cx + 8.0, cy - 6.0], "", &p.label);
                }
            }
            out.push_str("</g>");
        }
        out.push_str("</svg>");
        out
    }

    /// As a file of its own, with its title and whose marks are whose.
    pub fn file(&self) -> String {
        let (key, high) = (22.0, HEIGHT + 22.0 * (self.series.len() as f64 + 1.0));
        let inner = self.svg();
        let inner = inner.split_once('>').map_or("", |(_, rest)| rest).trim_end_matches("</svg>");
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {high}\" font-family=\"sans-serif\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{inner}\n",
            escaped(&self.title)
        );
        for (n, series) in self.series.iter().enumerate() {
            let (class, y) = (if series.strong { "strong" } else { "plain" }, HEIGHT + key * (n as f64 + 0.5));
            let _ = writeln!(
                out,
                "<g class=\"{class}\">{}<text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                mark(n, LEFT, y),
                LEFT + 12.0,
                y + 4.0,
                escaped(&series.name)
            );
        }
        out + "</svg>\n"
    }

    /// Which mark is whose, the mark as an SVG element: not every font has such signs.
    pub fn legend(&self) -> Vec<(String, &str, bool)> {
        let key = |n: usize| format!("<svg viewBox=\"0 0 12 12\" aria-hidden=\"true\">{}</svg>", mark(n, 6.0, 6.0));
        self.series.iter().enumerate().map(|(n, s)| (key(n), s.name.as_str(), s.strong)).collect()
    }

    /// The points as rows: run, label, x, y.
    pub fn rows(&self) -> Vec<[String; 4]> {
        let row = |s: &Series, p: &Point| {
            let interval = p.y.map(|[low, high]| format!(" [{}, {}]", short(low), short(high))).unwrap_or_default();
            [s.name.clone(), p.label.clone(), short(p.at[0]), format!("{}{interval}", short(p.at[1]))]
        };
        self.series.iter().flat_map(|s| s.points.iter().map(move |p| row(s, p))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_their_numbers_say_and_names_are_escaped() {
        let point = |x: f64, y: f64| Point { at: [x, y], y: Some([y - 0.1, y + 0.1]), label: String::new() };
        let plot = Plot {
            title: "A < B".into(),
            note: String::new(),
            x: Axis { name: "x".into(), ends: Some([0.0, 1.0]) },
            y: Axis { name: "y".into(), ends: Some([0.0, 1.0]) },
            series: vec![Series {
                name: "s".into(),
                points: vec![point(0.0, 0.0), point(1.0, 1.0), point(f64::NAN, 0.5)],
                strong: true,
                joined: true,
            }],
            diagonal: true,
        };
        let svg = plot.svg();
        assert!(
            svg.contains("A &lt; B")
                && svg.contains("cx=\"64.0\" cy=\"268.0\"")
                && svg.contains("cx=\"546.0\" cy=\"14.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches("<circle").count(), 2, "what is no number is not drawn");
        let file = plot.file();
        assert!(file.contains("<title>A &lt; B</title>") && file.contains("cx=\"64.0\" cy=\"268.0\""), "{file}");
        assert_eq!((file.matches("<svg").count(), file.matches("</svg>").count()), (1, 1), "{file}");
        assert_eq!(file.matches("<circle").count(), 3, "with the key");
        assert_eq!([0.0, 0.25, 1234.5, -0.0312].map(short), ["0", "0.25", "1234", "-0.0312"]);
    }
}
