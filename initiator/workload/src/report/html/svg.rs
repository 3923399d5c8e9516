//! A small writer of charts: lines or bars over two axes, as inline SVG. Every mark has a title,
//! which browsers show when it is pointed at.

use super::Text;

/// The picture, and the area in it that the axes enclose.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;
/// Half of the widest text below the axis.
const EDGE: f64 = 24.0;
/// Grid lines of an axis, about.
const TICKS: f64 = 5.0;
/// More marks than this on a line are drawn without dots.
const DOTS_MAX: usize = 64;

/// How an axis divides its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// Decades of equal length. Values are positive.
    Log,
}

/// An axis: its range, and how its values are written.
pub(super) struct Axis<'a> {
    pub(super) scale: Scale,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) label: &'a str,
    pub(super) text: &'a dyn Fn(f64) -> String,
    /// Where to draw grid lines; chosen if there are none.
    pub(super) ticks: Vec<(f64, String)>,
}

/// A line through points.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// Class of style: colour and dashes.
    pub(super) class: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A bar from one x to another.
pub(super) struct Bar<'a> {
    pub(super) class: &'a str,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) height: f64,
    pub(super) title: String,
}

impl Axis<'_> {
    /// 0 at the beginning, 1 at the end.
    fn share(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.min) / (self.max - self.min),
            Scale::Log => (value / self.min).ln() / (self.max / self.min).ln(),
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        if !self.ticks.is_empty() {
            return self.ticks.clone();
        }
        let values = match self.scale {
            Scale::Linear => linear_ticks(self.min, self.max),
            Scale::Log => log_ticks(self.min, self.max),
        };
        values.into_iter().map(|value| (value, (self.text)(value))).collect()
    }
}

/// Round numbers, 1, 2 or 5 times a power of ten apart.
pub(super) fn linear_ticks(min: f64, max: f64) -> Vec<f64> {
    let rough = (max - min) / TICKS;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![min];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (min / step - 1e-9).ceil() as i64;
    let last = (max / step + 1e-9).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Powers of ten; where there are few, 2 and 5 times these too.
pub(super) fn log_ticks(min: f64, max: f64) -> Vec<f64> {
    let decades = (max / min).log10();
    let steps: &[f64] = if decades < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = min.log10().floor() as i32..=max.log10().ceil() as i32;
    let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    all.filter(|tick| (min * 0.999..=max * 1.001).contains(tick)).collect()
}

/// The range of a linear axis from zero: up to a round number.
pub(super) fn round_up(max: f64) -> f64 {
    if max <= 0.0 {
        return 1.0;
    }
    let ticks = linear_ticks(0.0, max);
    let step = ticks.get(1).copied().unwrap_or(max);
    (max / step).ceil() * step
}

/// The range of a logarithmic axis: whole steps of 1, 2, 5 around the values.
pub(super) fn log_range(min: f64, max: f64) -> (f64, f64) {
    let down = |value: f64| {
        let power = 10f64.powf(value.log10().floor());
        [5.0, 2.0, 1.0].into_iter().map(|m| m * power).find(|v| *v <= value).unwrap_or(power)
    };
    let up = |value: f64| {
        let power = 10f64.powf(value.log10().floor());
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|v| *v >= value).unwrap_or(value)
    };
    (down(min.max(1.0)), up(max.max(min * 1.01).max(2.0)))
}

/// A chart with a caption and, where there are several lines, a key to them.
pub(super) fn chart(
    title: &str,
    x: &Axis<'_>,
    y: &Axis<'_>,
    lines: &[Line<'_>],
    bars: &[Bar<'_>],
) -> String {
    let mut drawn = grid(x, y);
    bars.iter().for_each(|bar| drawn += &draw_bar(bar, x, y));
    lines.iter().for_each(|line| drawn += &draw_line(line, x, y));
    let key: String = lines
        .iter()
        .map(|line| {
            format!(
                "<span class=\"key {}\"><svg viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path \
                 class=\"line\" d=\"M0 4H24\"/></svg>{}</span>",
                line.class,
                Text(line.name)
            )
        })
        .collect();
    format!(
        "<figure><figcaption>{title}<span class=\"keys\">{key}</span></figcaption>\
         <svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         {drawn}</svg></figure>\n",
        title = Text(title),
    )
}

fn x_at(axis: &Axis<'_>, value: f64) -> f64 {
    LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)
}

fn y_at(axis: &Axis<'_>, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)
}

fn grid(x: &Axis<'_>, y: &Axis<'_>) -> String {
    let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut out = String::new();
    for (value, text) in y.ticks() {
        let at = y_at(y, value);
        out += &format!(
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/><text class=\"tick end\" x=\"{:.1}\" \
             y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            Text(&text)
        );
    }
    for (value, text) in x.ticks() {
        let at = x_at(x, value);
        // Text in the middle of the last mark would leave the picture.
        let anchor = if at > right - EDGE { "end" } else { "middle" };
        out += &format!(
            "<path class=\"mark\" d=\"M{at:.1} {floor}v4\"/><text class=\"tick {anchor}\" x=\"{at:.1}\" \
             y=\"{:.1}\">{}</text>",
            floor + 16.0,
            Text(&text)
        );
    }
    out += &format!("<path class=\"axis\" d=\"M{LEFT} {TOP}V{floor}H{right}\"/>");
    out + &format!(
        "<text class=\"label end\" x=\"{right}\" y=\"{:.1}\">{}</text>",
        HEIGHT - 3.0,
        Text(x.label)
    )
}

fn draw_line(line: &Line<'_>, x: &Axis<'_>, y: &Axis<'_>) -> String {
    let mut path = String::new();
    let mut marks = String::new();
    for (at, &(px, py)) in line.points.iter().enumerate() {
        let (cx, cy) = (x_at(x, px), y_at(y, py));
        path += &format!("{}{cx:.1} {cy:.1}", if at == 0 { 'M' } else { 'L' });
        let radius = if line.points.len() > DOTS_MAX { 0.0 } else { 2.0 };
        marks += &format!(
            "<g class=\"point\"><circle class=\"dot\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\"/>\
             <circle class=\"reach\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"6\"/><title>{}: {} at {}</title></g>",
            Text(line.name),
            Text(&(y.text)(py)),
            Text(&(x.text)(px)),
        );
    }
    format!("<g class=\"{}\"><path class=\"line\" d=\"{path}\"/>{marks}</g>", line.class)
}

fn draw_bar(bar: &Bar<'_>, x: &Axis<'_>, y: &Axis<'_>) -> String {
    let (left, right) = (x_at(x, bar.from), x_at(x, bar.to));
    let (top, floor) = (y_at(y, bar.height), HEIGHT - BOTTOM);
    format!(
        "<rect class=\"bar {}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}\
         </title></rect>",
        bar.class,
        (right - left - 1.0).max(1.0),
        // What is not nothing is seen.
        if bar.height > 0.0 { (floor - top).max(1.0) } else { 0.0 },
        Text(&bar.title)
    )
}
