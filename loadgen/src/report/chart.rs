//! Draws one plot as SVG for the page: lines or cells between two axes. The page's style sheet
//! gives the colours drawn here their dark twins (`page.css`), by the attributes' values.
//!
//! Knows nothing of reports; text from outside never comes here. Tests: below.

use super::axis::Axis;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use std::fmt::Write as _;
use std::ops::Range;

/// Units of a drawing, about two to a pixel: the drawing library knows whole ones only. On a phone
/// it is about 350 pixels wide, so that letters are 12 high.
const SIZE: (u32, u32) = (880, 580);
/// Height of letters.
const LETTER: f64 = 30.0;
/// Width of a letter or digit, about.
const LETTER_WIDTH: f64 = 17.0;
/// plotters writes a font's size divided by this.
const FONT_FACTOR: f64 = 1.24;

const TEXT: RGBColor = RGBColor(0x4A, 0x55, 0x64);
const GRID: RGBColor = RGBColor(0xE1, 0xE5, 0xEA);
const FRAME: RGBColor = RGBColor(0x8B, 0x95, 0xA3);
/// Lines, in their order; `page.css` makes the second and third dashed.
pub(super) const LINES: [RGBColor; 3] =
    [RGBColor(0x1F, 0x5F, 0xBF), RGBColor(0xB4, 0x53, 0x0A), RGBColor(0x0F, 0x76, 0x6E)];

/// Bounds that something must stay below, and what did not.
const BAD: RGBColor = RGBColor(0x99, 0x1B, 0x1B);

/// Shades of cells, palest first: classes `h1` to `h8` of the style sheet.
pub(super) const SHADES: usize = 8;

/// A line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: &'static str,
    /// Not a number: a gap.
    pub(super) points: Vec<(f64, f64)>,
}

/// Cells of equal size that fill a plot, column by column, each from the bottom up.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    /// Columns, each with its cells' counts.
    pub(super) columns: Vec<Vec<u64>>,
}

/// Lines whose points are marked, and what they had to stay below.
#[derive(Debug, Clone)]
pub(super) struct Curves {
    pub(super) lines: Vec<Line>,
    /// Heights.
    pub(super) bounds: Vec<f64>,
    /// Points that are crossed out.
    pub(super) failed: Vec<(f64, f64)>,
}

/// What is between the axes.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Lines(Vec<Line>),
    Curves(Curves),
    Cells(Cells),
}

/// One plot.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// How to read it, in a sentence or two. Text, not HTML.
    pub(super) caption: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Where on the x axis something ends, if that is to be seen.
    pub(super) end: Option<f64>,
    pub(super) content: Content,
}

/// The shade (1 to [`SHADES`]) of a count, logarithmic up to `highest`; none for 0.
pub(super) fn shade(count: u64, highest: u64) -> Option<usize> {
    match (count, highest) {
        (0, _) => None,
        (_, 0 | 1) => Some(SHADES),
        (count, highest) => {
            let part = (count as f64).ln() / (highest as f64).ln();
            Some(1 + (part * (SHADES - 1) as f64).round() as usize)
        }
    }
}

impl Chart {
    /// As an `<svg>` element without a name space, for use within HTML.
    ///
    /// Errors: the drawing library's, in words; there is no known way to see one.
    pub(super) fn svg(&self) -> Result<String, String> {
        let words = |error: &dyn std::fmt::Display| format!("cannot draw {}: {error}", self.title);
        let mut out = String::new();
        let mut cells = String::new();
        {
            let root = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
            self.draw(&root, &mut cells).map_err(|error| words(&error))?;
            root.present().map_err(|error| words(&error))?;
        }
        let (Some(from), Some(to)) = (out.find('>'), out.rfind("</svg>")) else {
            return Err(words(&"no drawing came out"));
        };
        let (width, height) = SIZE;
        Ok(format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{}{cells}</svg>",
            self.title,
            &out[from + 1..to]
        ))
    }

    fn draw<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, Shift>,
        cells: &mut String,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let letters = ("sans-serif", LETTER * FONT_FACTOR).into_font().color(&TEXT);
        let widest = self.y.marks.iter().map(|(_, label)| label.len()).max().unwrap_or(0);
        let mut chart = ChartBuilder::on(root)
            .margin_top(60)
            .margin_right(48)
            .margin_left(4)
            .x_label_area_size(100)
            .y_label_area_size((widest as f64 * LETTER_WIDTH).max(48.0) as u32 + 20)
            .build_cartesian_2d(Scale(self.x.clone()), Scale(self.y.clone()))?;
        // Horizontal: nobody likes to turn their head.
        root.draw(&Text::new(self.y.name.clone(), (8, 8), letters.clone()))?;
        let (across, down) = chart.plotting_area().get_pixel_range();
        let (width, height) =
            (f64::from(across.end - across.start), f64::from(down.end - down.start));
        let (x_labels, y_labels) =
            (fitting(&self.x, width, LETTER_WIDTH), fitting(&self.y, height, 0.0));
        chart
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(FRAME.stroke_width(2))
            .set_all_tick_mark_size(10)
            .label_style(letters.clone())
            .axis_desc_style(letters)
            .x_desc(self.x.name.clone())
            .x_label_formatter(&|at| label(&x_labels, *at))
            .y_label_formatter(&|at| label(&y_labels, *at))
            .draw()?;
        if let Some(end) = self.end.filter(|end| *end > self.x.from && *end < self.x.to) {
            let line = vec![(end, self.y.from), (end, self.y.to)];
            chart.draw_series(LineSeries::new(line, FRAME.stroke_width(2)))?;
        }
        let lines = match &self.content {
            Content::Lines(lines) => lines.as_slice(),
            Content::Curves(curves) => curves.lines.as_slice(),
            Content::Cells(content) => {
                let corner = (f64::from(across.start), f64::from(down.end));
                content.draw(corner, (width, height), cells);
                &[]
            }
        };
        let marked = matches!(self.content, Content::Curves(_));
        for (line, color) in lines.iter().zip(LINES.iter().cycle()) {
            for run in self.runs(&line.points) {
                if marked || run.len() == 1 {
                    chart.draw_series(run.iter().map(|at| Circle::new(*at, 6, color.filled())))?;
                }
                if run.len() > 1 {
                    chart.draw_series(LineSeries::new(run, color.stroke_width(4)))?;
                }
            }
        }
        if let Content::Curves(curves) = &self.content {
            let inside = |at: &f64| *at >= self.y.from && *at <= self.y.to;
            for bound in curves.bounds.iter().filter_map(|y| self.y.at(*y)).filter(inside) {
                let line = vec![(self.x.from, bound), (self.x.to, bound)];
                chart.draw_series(LineSeries::new(line, BAD.stroke_width(3)))?;
            }
            let crosses = self.runs(&curves.failed).into_iter().flatten();
            chart.draw_series(crosses.map(|at| Cross::new(at, 12, BAD.stroke_width(4))))?;
        }
        Ok(())
    }

    /// Points on the scales, cut where there are gaps.
    fn runs(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let mut runs = vec![Vec::new()];
        for (x, y) in points {
            match (self.x.at(*x), self.y.at(*y)) {
                (Some(x), Some(y)) => runs.last_mut().into_iter().for_each(|run| run.push((x, y))),
                _ => runs.push(Vec::new()),
            }
        }
        runs.retain(|run| !run.is_empty());
        runs
    }
}

impl Cells {
    /// Highest count of a cell.
    pub(super) fn highest(&self) -> u64 {
        self.columns.iter().flatten().copied().max().unwrap_or(0)
    }

    /// Appends a path for each shade. Drawn by hand, because thousands of rectangles are large.
    /// `corner`: bottom left.
    fn draw(&self, corner: (f64, f64), size: (f64, f64), out: &mut String) {
        let highest = self.highest();
        let mut paths = vec![String::new(); SHADES + 1];
        // Whole numbers, so that neighbours meet.
        let part = |whole: f64, n: usize, of: usize| (whole * n as f64 / of as f64).round();
        for (number, column) in self.columns.iter().enumerate() {
            let left = corner.0 + part(size.0, number, self.columns.len());
            let right = corner.0 + part(size.0, number + 1, self.columns.len());
            let mut row = 0;
            while row < column.len() {
                let here = shade(column[row], highest);
                let same = column[row..].iter().take_while(|n| shade(**n, highest) == here).count();
                if let Some(shade) = here {
                    let bottom = corner.1 - part(size.1, row, column.len());
                    let top = corner.1 - part(size.1, row + same, column.len());
                    let _ = write!(paths[shade], "M{left} {bottom}H{right}V{top}H{left}z");
                }
                row += same;
            }
        }
        for (shade, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let _ = write!(out, "<path class=\"h{shade}\" d=\"{path}\"/>");
        }
    }
}

/// An axis as the drawing library wants it.
struct Scale(Axis);

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, at: &f64, (from, to): (i32, i32)) -> i32 {
        let part = (at - self.0.from) / (self.0.to - self.0.from);
        from + (f64::from(to - from) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.0.marks.iter().map(|(at, _)| *at).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.0.from..self.0.to
    }
}

/// The marks whose labels fit beside each other in so many pixels; the last ones win, for they
/// say how far it goes. `letter`: a letter's width; 0 on a vertical axis, where heights count.
fn fitting(axis: &Axis, pixels: f64, letter: f64) -> Vec<(f64, String)> {
    let per = pixels / (axis.to - axis.from);
    let mut free_until = f64::INFINITY;
    let mut fitting = Vec::new();
    for (at, label) in axis.marks.iter().rev() {
        let half = if letter > 0.0 { label.len() as f64 * letter } else { LETTER } / 2.0;
        let place = (at - axis.from) * per;
        if place + half <= free_until {
            free_until = place - half - 8.0;
            fitting.push((*at, label.clone()));
        }
    }
    fitting
}

/// The label of the mark at `at`, if it has one.
fn label(labels: &[(f64, String)], at: f64) -> String {
    let here = labels.iter().find(|(place, _)| (place - at).abs() < 1e-9);
    here.map(|(_, label)| label.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(content: Content) -> Chart {
        Chart {
            title: "Title",
            caption: String::new(),
            x: Axis::linear("seconds", 0.0, 10.0),
            y: Axis::log("ms", 0.1, 1000.0),
            end: Some(9.0),
            content,
        }
    }

    #[test]
    fn gaps_cut_lines_and_single_points_are_seen() {
        let nan = f64::NAN;
        let points = vec![(0.0, 1.0), (1.0, 2.0), (2.0, nan), (3.0, 5.0), (4.0, 0.0), (5.0, 7.0)];
        let chart = chart(Content::Lines(vec![Line { name: "a", points }]));
        let svg = chart.svg().unwrap();
        assert_eq!(svg.matches("stroke=\"#1F5FBF\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2, "{svg}");
        assert!(svg.contains("viewBox") && !svg.contains("NaN") && !svg.contains("xmlns"), "{svg}");
    }

    #[test]
    fn curves_are_marked() {
        let points = vec![(1.0, 1.0), (2.0, 3.0), (5.0, 9.0)];
        let lines = vec![Line { name: "a", points: points.clone() }, Line { name: "b", points }];
        // The second bound is above the plot.
        let curves = Curves { lines, bounds: vec![4.0, 4_000.0], failed: vec![(5.0, 9.0)] };
        let svg = chart(Content::Curves(curves)).svg().unwrap();
        assert_eq!(svg.matches("<circle").count(), 6, "{svg}");
        // The bound, and the two strokes of the cross.
        assert_eq!(svg.matches("stroke=\"#991B1B\"").count(), 3, "{svg}");
    }

    #[test]
    fn shades_are_logarithmic() {
        let check = |count, highest, want| assert_eq!(shade(count, highest), want);
        check(0, 100, None);
        check(1, 100, Some(1));
        check(10, 100, Some(5));
        check(100, 100, Some(8));
        check(1, 1, Some(8));
    }

    #[test]
    fn cells_of_one_shade_are_one_rectangle() {
        let cells = Cells { columns: vec![vec![0, 5, 5, 0], vec![1, 0, 0, 100]] };
        assert_eq!(cells.highest(), 100);
        let mut out = String::new();
        cells.draw((50.0, 200.0), (100.0, 80.0), &mut out);
        assert!(out.contains("M50 180H100V140H50z"), "{out}");
        assert_eq!((out.matches('M').count(), out.matches("<path").count()), (3, 3), "{out}");
        let svg = chart(Content::Cells(Cells { columns: Vec::new() })).svg().unwrap();
        assert!(!svg.contains("<path"), "{svg}");
    }

    #[test]
    fn labels_do_not_overlap() {
        let axis = Axis::percentiles(u64::MAX);
        let kept = fitting(&axis, 760.0, LETTER_WIDTH);
        let labels: Vec<&str> = kept.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels[0], "99.99999");
        assert!(labels.contains(&"50") && labels.len() < axis.marks.len(), "{labels:?}");
    }
}
