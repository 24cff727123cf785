//! Writes a picture in Graphviz's language, with a cluster for each place, for `dot -Tsvg` and other tools.

use std::fmt::Write;

use super::picture::Picture;
use super::svg::fill;

/// Returns the whole text.
pub(super) fn write(picture: &Picture) -> String {
    let mut text = String::from(
        "digraph plan {\n  rankdir=LR;\n  fontname=\"monospace\";\n  fontsize=11;\n  \
         node [shape=box, style=\"filled,rounded\", fontname=\"monospace\", fontsize=11];\n  \
         edge [fontname=\"monospace\", fontsize=10];\n",
    );
    // Writing to a string does not fail.
    for (place, name) in picture.places.iter().enumerate() {
        let _ = writeln!(text, "  subgraph cluster_{place} {{");
        let _ = writeln!(text, "    label={};", quoted(&[name.as_str()]));
        for (number, labelled) in picture.boxes.iter().enumerate().filter(|(_, b)| b.place == place) {
            let _ = writeln!(
                text,
                "    b{number} [label={}, fillcolor=\"#{:06x}\"];",
                quoted(&labelled.lines),
                fill(place)
            );
        }
        text.push_str("  }\n");
    }
    for arrow in &picture.arrows {
        let label = if arrow.lines.is_empty() { String::new() } else { format!("label={}, ", quoted(&arrow.lines)) };
        let _ = writeln!(text, "  b{} -> b{} [{label}penwidth={}];", arrow.from, arrow.to, arrow.width);
    }
    text.push_str("}\n");
    text
}

/// Returns lines as one string of Graphviz's language.
fn quoted(lines: &[impl AsRef<str>]) -> String {
    let escaped = lines.iter().map(|l| l.as_ref().replace('\\', "\\\\").replace('"', "\\\""));
    format!("\"{}\"", escaped.collect::<Vec<_>>().join("\\n"))
}
