//! Draws a picture as SVG. `layout-rs` computes the positions of boxes and labels. This file does the drawing, because
//! the drawing of `layout-rs` cuts off long labels and makes arrow heads as large as their lines are wide.

use std::fmt::Write;

use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow as Line, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::picture::Picture;

/// The width of a character at the font's size.
const LETTER_WIDTH: f64 = 7.0;
const LINE_HEIGHT: f64 = 16.0;
const MARGIN: f64 = 16.0;
/// The width and the height of a label's character in the layout.
const LABEL_LETTER: usize = 7;
/// The colours: the local node's, and one for each site, which repeat if there are more sites.
const FILLS: &[u32] = &[0xffffff, 0xd9e8f7, 0xe1f0d8, 0xfdf0cd, 0xf9dcdc, 0xe7dff4, 0xd7f0ee, 0xf6e3d0];

/// Returns the colour of a place, as red, green and blue.
pub(super) fn fill(place: usize) -> u32 {
    let at = if place == 0 { 0 } else { 1 + (place - 1) % (FILLS.len() - 1) };
    FILLS.get(at).copied().unwrap_or(0xffffff)
}

/// Returns the whole document.
pub(super) fn write(picture: &Picture) -> String {
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    let boxes: Vec<_> = picture
        .boxes
        .iter()
        .map(|b| {
            let letters = b.lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
            let size =
                Point::new(letters as f64 * LETTER_WIDTH + 2.0 * MARGIN, b.lines.len() as f64 * LINE_HEIGHT + MARGIN);
            let look = StyleAttr::new(opaque(0x555555), 1, Some(opaque(fill(b.place))), 6, LABEL_LETTER);
            let shape = ShapeKind::Box(b.lines.join("\n"));
            graph.add_node(Element::create(shape, look, Orientation::LeftToRight, size))
        })
        .collect();
    for arrow in &picture.arrows {
        let (Some(from), Some(to)) = (boxes.get(arrow.from), boxes.get(arrow.to)) else { continue };
        let colour = opaque(if arrow.crosses { 0x2b5c8a } else { 0x999999 });
        let look = StyleAttr::new(colour, arrow.width, None, 0, LABEL_LETTER);
        // Lines are higher than the layout assumes, so it gets twice as many.
        let mut label = arrow.lines.join("\n");
        label.push_str(&"\n ".repeat(arrow.lines.len()));
        let (start, end) = (LineEndKind::None, LineEndKind::Arrow);
        let line = Line::new(start, end, LineStyleKind::Normal, &label, &look, &None, &None);
        graph.add_edge(line, *from, *to);
    }
    let mut canvas = Canvas::default();
    graph.do_it(false, false, false, &mut canvas);
    canvas.finish()
}

fn opaque(rgb: u32) -> Color {
    Color::new((rgb << 8) | 0xff)
}

#[derive(Default)]
struct Canvas {
    /// Boxes and lines. The texts are drawn above them.
    shapes: String,
    texts: String,
    width: f64,
    height: f64,
}

impl Canvas {
    fn finish(self) -> String {
        let (width, height) = ((self.width + MARGIN).ceil(), (self.height + MARGIN).ceil());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}</svg>\n",
            self.shapes, self.texts
        )
    }

    fn reach(&mut self, x: f64, y: f64) {
        self.width = self.width.max(x);
        self.height = self.height.max(y);
    }
}

impl RenderBackend for Canvas {
    fn draw_rect(&mut self, at: Point, size: Point, look: &StyleAttr, _: Option<String>, _: Option<ClipHandle>) {
        self.reach(at.x + size.x, at.y + size.y);
        // Writing to a string does not fail.
        let _ = writeln!(
            self.shapes,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{}\" fill=\"{}\" stroke=\"{}\"/>",
            at.x,
            at.y,
            size.x,
            size.y,
            look.rounded,
            web(look.fill_color.unwrap_or_else(|| opaque(0xffffff))),
            web(look.line_color),
        );
    }

    fn draw_line(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn draw_circle(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    /// Boxes have a fill, and their first line is a title. Labels of arrows have no fill.
    fn draw_text(&mut self, at: Point, text: &str, look: &StyleAttr) {
        let lines: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let boxed = look.fill_color.is_some();
        let top = at.y - lines.len() as f64 * LINE_HEIGHT / 2.0 + LINE_HEIGHT * 0.7;
        for (number, line) in lines.iter().enumerate() {
            let x = at.x;
            let y = match (boxed, number) {
                (true, _) => top + number as f64 * LINE_HEIGHT,
                // The arrow runs through the middle of its label, with half of the label above it and half below.
                (false, 0) => at.y - 5.0 - look.line_width as f64 / 2.0,
                (false, _) => at.y + look.line_width as f64 / 2.0 + (number as f64 - 0.2) * LINE_HEIGHT,
            };
            let half = line.chars().count() as f64 * LETTER_WIDTH / 2.0;
            self.reach(x + half, y);
            let style = match (boxed, number) {
                (true, 0) => " font-weight=\"bold\"",
                (true, _) => "",
                // An outline in the colour of the paper separates the label from an arrow that crosses it.
                (false, _) => " stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"",
            };
            let _ = writeln!(
                self.texts,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\"{style}>{}</text>",
                escaped(line)
            );
        }
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        _: bool,
        _: (bool, bool),
        look: &StyleAttr,
        _: Option<String>,
        _: &str,
    ) {
        let ([first, second, rest @ ..], Some(last)) = (path, path.last()) else { return };
        path.iter().for_each(|(a, b)| {
            self.reach(a.x, a.y);
            self.reach(b.x, b.y);
        });
        let width = look.line_width as f64;
        let (tip, from) = (last.1, last.0);
        let (long, half) = (5.0 + width * 1.6, 3.0 + width * 0.9);
        let away = ((tip.x - from.x).powi(2) + (tip.y - from.y).powi(2)).sqrt().max(1e-6);
        let (x, y) = ((tip.x - from.x) / away, (tip.y - from.y) / away);
        // The line ends where its head starts, because it would otherwise show beside the tip.
        let neck = Point::new(tip.x - x * long, tip.y - y * long);
        let end = |point: Point, is_last: bool| if is_last { neck } else { point };
        let mut line = format!("M {:.1} {:.1} C {}", first.0.x, first.0.y, pair(first.1));
        let _ = write!(line, ", {}, {}", pair(second.0), pair(end(second.1, rest.is_empty())));
        for (number, (control, point)) in rest.iter().enumerate() {
            let _ = write!(line, " S {}, {}", pair(*control), pair(end(*point, number + 1 == rest.len())));
        }
        let colour = web(look.line_color);
        let _ = writeln!(
            self.shapes,
            "<path d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n\
             <polygon points=\"{} {} {}\" fill=\"{colour}\"/>",
            pair(tip),
            pair(Point::new(neck.x - y * half, neck.y + x * half)),
            pair(Point::new(neck.x + y * half, neck.y - x * half)),
        );
    }

    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}

fn pair(point: Point) -> String {
    format!("{:.1},{:.1}", point.x, point.y)
}

/// Returns `#rrggbb`, because not every SVG reader knows the format with eight digits.
fn web(colour: Color) -> String {
    colour.to_web_color().chars().take(7).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}
