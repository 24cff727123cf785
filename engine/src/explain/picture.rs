//! The contents of a plan's picture: a box for each fragment in the colour of its site, a box for each significant
//! operator at the local node, and arrows along which rows flow. An arrow is wider if it carries more bytes.

use super::document::{FragmentEntry, OperatorEntry, PlanDocument, Pulled};
use super::edges::strategy;
use super::figures::{bytes, count};
use crate::{Error, ErrorKind, Result};

/// The largest number of boxes. A picture with more is not readable, and its layout takes time that grows faster than
/// their number.
const MAX_BOXES: usize = 150;
/// The number of characters of a line that are shown.
const MAX_LETTERS: usize = 40;
/// Operators that only rename columns or pass rows on.
const SLIGHT: &[&str] = &["Projection", "SubqueryAlias", "Subquery"];

/// A picture before its layout.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// The names of the places. The first is the local node.
    pub(super) places: Vec<String>,
    pub(super) boxes: Vec<Labelled>,
    pub(super) arrows: Vec<Arrow>,
}

/// A box with its lines, the first of which is a title.
#[derive(Debug)]
pub(super) struct Labelled {
    pub(super) lines: Vec<String>,
    /// The index of the box's place.
    pub(super) place: usize,
}

/// Rows that flow from one box to another.
#[derive(Debug)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) lines: Vec<String>,
    /// From 1 to 9.
    pub(super) width: usize,
    /// True if rows cross from one site to another.
    pub(super) crosses: bool,
}

/// Returns the picture of a document.
///
/// # Errors
/// `Unsupported` if there are more boxes than a picture can show.
pub(super) fn picture(document: &PlanDocument) -> Result<Picture> {
    let mut places = vec!["here".to_owned()];
    places.extend(document.sites.iter().map(|s| format!("{} at {}", s.domains.join(", "), s.url)));
    let mut painter = Painter { document, picture: Picture { places, ..Picture::default() } };
    let mut lines = vec!["result".to_owned()];
    lines.extend(rows_of(&document.plan));
    let result = painter.labelled(lines, 0);
    painter.operator(&document.plan, result);
    let boxes = painter.picture.boxes.len();
    if boxes > MAX_BOXES {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("a picture has at most {MAX_BOXES} boxes, and this plan has {boxes}: use EXPLAIN (FORMAT JSON)"),
        ));
    }
    Ok(painter.picture)
}

struct Painter<'a> {
    document: &'a PlanDocument,
    picture: Picture,
}

impl Painter<'_> {
    fn operator(&mut self, plan: &OperatorEntry, target: usize) {
        let fragment = plan.fragment.and_then(|n| self.document.fragments.iter().find(|f| f.number == n));
        if let Some(fragment) = fragment {
            let source = self.fragment(plan, fragment, target);
            let mut crossed = fragment.actual.as_ref().map(|a| a.pulled.clone()).unwrap_or_default();
            return self.pulled(plan, &fragment.site, source, &mut crossed);
        }
        let name = name(plan);
        let mut target = target;
        if !SLIGHT.contains(&name) {
            let mut lines = vec![name.to_owned()];
            match &plan.port {
                Some(port) => lines.push(port.clone()),
                None => lines.extend(plan.operator.split_once(": ").map(|(_, detail)| unqualified(detail))),
            }
            lines.extend(rows_of(plan));
            lines.extend(plan.decision.as_ref().map(|d| format!("by {}", d.chosen.what)));
            let source = self.labelled(lines, 0);
            self.picture.arrows.push(Arrow { from: source, to: target, lines: vec![], width: 1, crosses: false });
            target = source;
        }
        plan.subqueries.iter().chain(&plan.inputs).for_each(|input| self.operator(input, target));
    }

    fn fragment(&mut self, plan: &OperatorEntry, fragment: &FragmentEntry, target: usize) -> usize {
        let lines = vec![
            fragment.domains.join(", "),
            format!("fragment {}", fragment.number),
            format!("reads {}", ports(plan, None)),
            works(plan),
        ];
        let source = self.labelled(lines, self.place(&fragment.site));
        let (edge, actual) = (&fragment.edge, fragment.actual.as_ref());
        let rows = actual.map(|a| a.rows).or(edge.rows);
        let carried = actual.map(|a| a.bytes).or(edge.bytes);
        let figures: Vec<_> = rows.map(rows_text).into_iter().chain(carried.map(|b| bytes(b as f64))).collect();
        let lines = [strategy(edge), figures.join(", ")].into_iter().filter(|l| !l.is_empty());
        let lines = lines.map(|l| shortened(&l)).collect();
        self.picture.arrows.push(Arrow { from: source, to: target, lines, width: width(carried), crosses: true });
        source
    }

    /// Adds the parts below a fragment's root that come from other owners. `crossed` has the parts that the owner
    /// fetched. The owner may have cut the fragment in another way, and then the arrows show the estimates.
    fn pulled(&mut self, plan: &OperatorEntry, site: &str, target: usize, crossed: &mut Vec<Pulled>) {
        match plan.site.as_deref() {
            Some(other) if other != site => {
                let lines = vec![plan.domains.join(", "), format!("reads {}", ports(plan, None)), works(plan)];
                let source = self.labelled(lines, self.place(other));
                let known = crossed.iter().position(|p| p.site == other).map(|i| crossed.remove(i));
                let lines = match &known {
                    Some(p) => vec![format!("pulled {}, {}", rows_text(p.rows), bytes(p.bytes as f64))],
                    None => rows_of(plan).into_iter().chain(["pulled".to_owned()]).collect(),
                };
                let width = width(known.map(|p| p.bytes + p.key_bytes));
                self.picture.arrows.push(Arrow { from: source, to: target, lines, width, crosses: true });
                plan.subqueries.iter().chain(&plan.inputs).for_each(|i| self.pulled(i, other, source, crossed));
            }
            _ => plan.subqueries.iter().chain(&plan.inputs).for_each(|i| self.pulled(i, site, target, crossed)),
        }
    }

    fn labelled(&mut self, lines: Vec<String>, place: usize) -> usize {
        let lines = lines.iter().filter(|l| !l.trim().is_empty()).map(|l| shortened(l)).collect();
        self.picture.boxes.push(Labelled { lines, place });
        self.picture.boxes.len() - 1
    }

    fn place(&self, site: &str) -> usize {
        self.document.sites.iter().position(|s| s.url == site).map_or(0, |i| i + 1)
    }
}

/// Returns the name of an operator, such as `Inner Join` or `TableScan`.
fn name(plan: &OperatorEntry) -> &str {
    plan.operator.split_once(':').map_or(plan.operator.as_str(), |(name, _)| name)
}

fn rows_of(plan: &OperatorEntry) -> Option<String> {
    let rows = plan.actual.as_ref().map(|a| a.rows).or(plan.rows)?;
    Some(rows_text(rows))
}

fn rows_text(rows: u64) -> String {
    format!("{} {}", count(rows as f64), if rows == 1 { "row" } else { "rows" })
}

/// Removes the names of domain, product and port from columns, because a box has no room for them.
fn unqualified(detail: &str) -> String {
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut text = String::with_capacity(detail.len());
    let mut rest = detail;
    while !rest.is_empty() {
        let (name, after) = rest.split_at(rest.find(|c| !in_name(c)).unwrap_or(rest.len()));
        let is_qualified = name.matches('.').count() == 3 && !name.ends_with('.');
        text.push_str(if is_qualified { name.rsplit('.').next().unwrap_or(name) } else { name });
        let (between, after) = after.split_at(after.find(in_name).unwrap_or(after.len()));
        text.push_str(between);
        rest = after;
    }
    text
}

/// Returns the ports that a site reads, without the names of domain and product.
fn ports(plan: &OperatorEntry, site: Option<&str>) -> String {
    let site = site.or(plan.site.as_deref());
    let mut names = vec![];
    fn note<'a>(plan: &'a OperatorEntry, site: Option<&str>, names: &mut Vec<&'a str>) {
        if plan.site.is_some() && plan.site.as_deref() != site {
            return;
        }
        if let Some(port) = &plan.port {
            let name = port.rsplit('.').next().unwrap_or(port);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        plan.subqueries.iter().chain(&plan.inputs).for_each(|i| note(i, site, names));
    }
    note(plan, site, &mut names);
    names.join(", ")
}

/// Returns the significant operators at one site, root first: `Aggregate, Inner Join, Filter`.
fn works(plan: &OperatorEntry) -> String {
    let mut names: Vec<&str> = vec![];
    fn note<'a>(plan: &'a OperatorEntry, site: &Option<String>, names: &mut Vec<&'a str>) {
        if plan.site.is_some() && plan.site != *site {
            return;
        }
        let name = name(plan);
        if !SLIGHT.contains(&name) && plan.port.is_none() && !names.contains(&name) {
            names.push(name);
        }
        plan.subqueries.iter().chain(&plan.inputs).for_each(|i| note(i, site, names));
    }
    note(plan, &plan.site, &mut names);
    names.join(", ")
}

/// Returns the width of an arrow. Ten times the bytes is one step wider, and the first step is a kilobyte.
fn width(carried: Option<u64>) -> usize {
    let steps = carried.map_or(0.0, |b| (b as f64 / 1e3).max(1.0).log10());
    (1.0 + steps * 1.25).clamp(1.0, 9.0).round() as usize
}

/// Shortens a text, and replaces characters that move a cursor or end a file.
fn shortened(text: &str) -> String {
    let clean = |c: char| if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' { ' ' } else { c };
    if text.chars().count() <= MAX_LETTERS {
        return text.chars().map(clean).collect();
    }
    text.chars().take(MAX_LETTERS - 1).map(clean).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_have_short_names() {
        assert_eq!(unqualified("sales.orders.lineitem.l_id = b.c AND x > 1.5"), "l_id = b.c AND x > 1.5");
        assert_eq!(unqualified("groupBy=[[a.b.c.d AS k0]]"), "groupBy=[[d AS k0]]");
        assert_eq!(unqualified(""), "");
    }

    #[test]
    fn ten_times_the_bytes_is_thicker_and_all_is_bounded() {
        assert_eq!([None, Some(0), Some(1_000), Some(u64::MAX)].map(width), [1, 1, 1, 9]);
        assert!(width(Some(1_000_000)) > width(Some(100_000)));
    }
}
