//! Two charts as SVG: lines over steps, and groups of bars. Every mark has a title that says its
//! value, which browsers show when it is pointed at.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 34.0;
const COLOURS: [&str; 10] = [
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#9c755f", "#edc948",
    "#ff9da7", "#79706e",
];

/// Lines over steps of equal width.
pub(crate) struct Lines {
    pub(crate) title: String,
    /// Below each step.
    pub(crate) ticks: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

/// Steps and their values.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(usize, f64)>,
}

/// Horizontal bars in groups.
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) groups: Vec<Group>,
}

/// Bars that belong together.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<(String, f64)>,
}

impl Lines {
    /// The picture.
    pub(crate) fn draw(&self) -> String {
        let (plot_width, plot_height) = (WIDTH - LEFT - 170.0, 330.0);
        let values = self.lines.iter().flat_map(|line| &line.points).map(|point| point.1);
        let (top, step) = scale(values.fold(1.0, f64::max));
        let steps = self.ticks.len().saturating_sub(1).max(1) as f64;
        let x = |at: usize| LEFT + plot_width * at as f64 / steps;
        let y = |value: f64| TOP + plot_height * (1.0 - value / top);
        let mut out = begin(&self.title, TOP + plot_height + 40.0);
        let mut value = 0.0;
        while value <= top * 1.001 {
            let (y, right) = (y(value), LEFT + plot_width);
            rule(&mut out, (LEFT, y), (right, y));
            text(&mut out, (LEFT - 6.0, y + 4.0), "end", &format!("{value}"));
            value += step;
        }
        for (at, tick) in self.ticks.iter().enumerate() {
            text(&mut out, (x(at), TOP + plot_height + 18.0), "middle", tick);
        }
        for (number, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let mut path = String::new();
            for (at, value) in &line.points {
                let _ = write!(path, "{:.1},{:.1} ", x(*at), y(*value));
            }
            let _ = writeln!(
                out,
                r#"<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#
            );
            for (at, value) in &line.points {
                let title = format!("{} at {}: {value}", line.name, self.ticks[*at]);
                let _ = writeln!(
                    out,
                    r#"<circle cx="{:.1}" cy="{:.1}" r="3" fill="{colour}"><title>{}</title></circle>"#,
                    x(*at),
                    y(*value),
                    escaped(&title)
                );
            }
            legend(
                &mut out,
                (LEFT + plot_width + 22.0, TOP + 18.0 * number as f64),
                colour,
                &line.name,
            );
        }
        out + "</svg>\n"
    }
}

impl Bars {
    /// The picture.
    pub(crate) fn draw(&self) -> String {
        const BAR: f64 = 15.0;
        const GAP: f64 = 26.0;
        let left = 200.0;
        let plot_width = WIDTH - left - 60.0;
        let count: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let height = BAR * count as f64 + GAP * self.groups.len() as f64;
        let values = self.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.1);
        let (top, step) = scale(values.fold(1.0, f64::max));
        let x = |value: f64| left + plot_width * value / top;
        let mut out = begin(&self.title, TOP + height + 30.0);
        let mut value = 0.0;
        while value <= top * 1.001 {
            rule(&mut out, (x(value), TOP), (x(value), TOP + height));
            text(&mut out, (x(value), TOP + height + 18.0), "middle", &format!("{value:.1}"));
            value += step;
        }
        let mut names: Vec<&str> = Vec::new();
        let mut y = TOP;
        for group in &self.groups {
            text(&mut out, (left, y + 18.0), "start", &group.name);
            y += GAP;
            for (name, value) in &group.bars {
                let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                let _ = writeln!(
                    out,
                    r#"<rect x="{left}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{}"><title>{}: {value:.2}</title></rect>"#,
                    x(*value) - left,
                    BAR - 3.0,
                    COLOURS[number % COLOURS.len()],
                    escaped(name),
                );
                text(&mut out, (left - 6.0, y + 10.0), "end", name);
                text(&mut out, (x(*value) + 4.0, y + 10.0), "start", &format!("{value:.2}"));
                y += BAR;
            }
        }
        out + "</svg>\n"
    }
}

/// A round number at or above the largest value, and a round step up to it.
fn scale(max: f64) -> (f64, f64) {
    let rough = max / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    ((max / step).ceil() * step, step)
}

fn begin(title: &str, height: f64) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let _ = writeln!(out, r#"<text x="10" y="20" font-size="14">{}</text>"#, escaped(title));
    out
}

fn rule(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        out,
        r##"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="#ddd"/>"##,
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        out,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
        at.0,
        at.1,
        escaped(text)
    );
}

fn legend(out: &mut String, at: (f64, f64), colour: &str, name: &str) {
    let _ = writeln!(
        out,
        r#"<rect x="{:.1}" y="{:.1}" width="12" height="12" fill="{colour}"/>"#,
        at.0, at.1
    );
    text(out, (at.0 + 18.0, at.1 + 10.0), "start", name);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
