//! EXPLAIN ANALYZE without what differs from run to run: times, and bytes, which depend on the sizes of batches.

use serde_json::Value;

/// The metrics of an operator that differ from run to run.
const METRICS: &[&str] = &[
    "elapsed_compute=",
    "build_time=",
    "join_time=",
    "time_elapsed_scanning_total=",
    "time_to_first_batch=",
    "wire_bytes=",
    "first batch",
];
/// The units of times and bytes.
const UNITS: &[&str] = &["ns", "µs", "us", "ms", "s", "B", "KB", "kB", "MB", "GB", "KiB", "MiB", "GiB"];

/// Returns a text of EXPLAIN ANALYZE without times and bytes.
pub fn without_measures(text: &str) -> String {
    text.lines().map(line_without_measures).collect::<Vec<_>>().join("\n")
}

fn line_without_measures(line: &str) -> String {
    let is_kept = |part: &&str| !METRICS.iter().any(|metric| part.trim_start().starts_with(metric));
    let kept: Vec<&str> = line.split(", ").filter(is_kept).collect();
    let mut words: Vec<String> = vec![];
    for word in kept.join(", ").split_whitespace() {
        let unit = word.trim_end_matches([',', ';', ')', ':', '|', '/']);
        let is_unit = UNITS.contains(&unit) && words.last().is_some_and(|last| is_number(last));
        if is_unit {
            words.pop();
        }
        words.push(if is_unit || is_measure(unit) { "<measure>".to_owned() } else { word.to_owned() });
    }
    words.join(" ")
}

fn is_number(word: &str) -> bool {
    let word = word.trim_start_matches(['(', '~', '<']);
    !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',')
}

/// True if a word is a number with a unit, such as `12.3ms` or `1KB/s`.
fn is_measure(word: &str) -> bool {
    let word = word.trim_start_matches(['(', '~']);
    let word = word.strip_suffix("/s").unwrap_or(word);
    let number = word.trim_end_matches(|c: char| !c.is_ascii_digit());
    UNITS.contains(&&word[number.len()..]) && is_number(number)
}

/// Removes times and bytes from a document of EXPLAIN. The metrics of operators are texts.
pub fn remove_measures(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            let is_measure = |key: &str| {
                key.ends_with("_ms") || key == "milliseconds" || key.contains("bytes") || key == "runners_up"
            };
            fields.retain(|key, _| !is_measure(key));
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if key == "metrics" || key == "keys" => *text = without_measures(text),
                    other => remove_measures(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(remove_measures),
        _ => {}
    }
}
