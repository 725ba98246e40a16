//! A reliability diagram as SVG: how often the most probable label is right, against how probable it is.

use std::fmt::Write as _;

use super::score::{BINS, Bin};

const SIDE: f64 = 260.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 40.0;

/// Two diagrams beside each other.
pub fn picture(before: &[Bin; BINS], after: &[Bin; BINS], title: &str) -> String {
    let (width, height) = (2.0 * (SIDE + LEFT) + 30.0, SIDE + TOP + 60.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        escaped(title)
    );
    for (i, (name, bins)) in [("before", before), ("after", after)].into_iter().enumerate() {
        panel(&mut svg, LEFT + i as f64 * (SIDE + LEFT), name, bins);
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, x: f64, name: &str, bins: &[Bin; BINS]) {
    let bottom = TOP + SIDE;
    let all: f64 = bins.iter().map(|b| b.n).sum();
    let mut draw = |text: String| {
        let _ = writeln!(svg, "{text}");
    };
    draw(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"14\">{name}</text>",
        x + SIDE / 2.0,
        TOP - 14.0
    ));
    draw(format!("<rect x=\"{x}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#888\"/>"));
    for (i, bin) in bins.iter().enumerate().filter(|(_, b)| b.n > 0.0) {
        let wide = SIDE / BINS as f64;
        let (left, tall) = (x + i as f64 * wide, bin.accuracy * SIDE);
        draw(format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"#4a7ab5\" fill-opacity=\"{:.2}\"><title>{} \
             examples, confidence {:.3}, right {:.3}</title></rect>",
            left + 1.0,
            bottom - tall,
            wide - 2.0,
            0.25 + 0.75 * (bin.n / all).sqrt(),
            bin.n,
            bin.confidence,
            bin.accuracy
        ));
        draw(format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#b5482a\"/>",
            x + bin.confidence * SIDE,
            bottom - bin.accuracy * SIDE
        ));
    }
    draw(format!("<path d=\"M{x} {bottom} L{} {TOP}\" stroke=\"#888\" stroke-dasharray=\"4 4\"/>", x + SIDE));
    for tick in [0.0, 0.5, 1.0] {
        draw(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>", x + tick * SIDE, bottom + 16.0));
        draw(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{tick}</text>", x - 6.0, bottom - tick * SIDE + 4.0));
    }
    draw(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">share of the most probable label</text>",
        x + SIDE / 2.0,
        bottom + 34.0
    ));
    draw(format!(
        "<text transform=\"translate({},{}) rotate(-90)\" text-anchor=\"middle\">how often it is right</text>",
        x - 30.0,
        TOP + SIDE / 2.0
    ));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
