//! Test cases of policies: YAML files with queries, principals, and the rows or the refusals that are expected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use portolan_catalog::yaml::{self, Document};
use portolan_catalog::{Diagnostic, Diagnostics, DomainCatalog, Place};
use serde::Deserialize;
use serde_json::Value;

use super::text::TextRow;
use crate::config::OneOrMore;
use crate::{Error, Result};

/// The largest number of files of test cases in a folder.
const MAX_FILES: usize = 1_000;

/// A test case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) principal: CasePrincipal,
    pub(super) query: String,
    pub(super) expected: Expected,
}

/// The outcome that a case expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// These rows, in their order.
    Rows(Vec<TextRow>),
    /// A refusal whose message contains this text.
    Refused(String),
}

/// The principal of a case. The groups and attributes that are not given are those of the config's user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CasePrincipal {
    pub(super) user: String,
    groups: Option<BTreeSet<String>>,
    attributes: Option<BTreeMap<String, OneOrMore>>,
    pub(super) purpose: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<WrittenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    #[serde(rename = "as")]
    principal: CasePrincipal,
    query: String,
    rows: Option<Vec<Vec<Value>>>,
    refused: Option<String>,
}

impl CasePrincipal {
    pub(super) fn groups(&self) -> Option<BTreeSet<String>> {
        self.groups.clone()
    }

    pub(super) fn attributes(&self) -> Option<BTreeMap<String, Vec<String>>> {
        let values = |values: &OneOrMore| match values {
            OneOrMore::One(value) => vec![value.clone()],
            OneOrMore::More(values) => values.clone(),
        };
        self.attributes.as_ref().map(|all| all.iter().map(|(name, of)| (name.clone(), values(of))).collect())
    }
}

/// Reads the cases of files.
///
/// # Errors
/// All errors of all files.
pub(super) fn read_cases(files: &[PathBuf]) -> Result<Vec<Case>, Diagnostics> {
    let (mut cases, mut errors) = (vec![], vec![]);
    for file in files {
        match yaml::read(file).and_then(|text| parse_cases(&text, file)) {
            Ok(found) => cases.extend(found),
            Err(Diagnostics(found)) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(cases) } else { Err(Diagnostics(errors)) }
}

fn parse_cases(text: &str, file: &Path) -> Result<Vec<Case>, Diagnostics> {
    let document = Document::parse(text, file)?;
    let File { cases } = yaml::from_document(document.clone())?;
    let (mut parsed, mut errors) = (vec![], vec![]);
    for (i, case) in cases.into_iter().enumerate() {
        let place = document.place(&["cases".into(), i.into()]);
        let expected = match (case.rows, case.refused) {
            (Some(rows), None) => Expected::Rows(rows.iter().map(|row| row.iter().map(text_of).collect()).collect()),
            (None, Some(text)) => Expected::Refused(text),
            _ => {
                let message = format!("the case `{}` needs one of `rows` and `refused`", case.name);
                errors.push(Diagnostic::new(place, message));
                continue;
            }
        };
        parsed.push(Case { place, name: case.name, principal: case.principal, query: case.query, expected });
    }
    if errors.is_empty() { Ok(parsed) } else { Err(Diagnostics(errors)) }
}

/// Returns an expected value as text; `None` for `null`.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Returns the files of test cases: `policies/*.test.yaml` beside the descriptors of the products, and `*.test.yaml` in
/// the folder with the policies of the mesh.
///
/// # Errors
/// A folder that cannot be read.
pub(super) fn find_files(catalog: &DomainCatalog, mesh: Option<&Path>) -> Result<Vec<PathBuf>> {
    let places = catalog.products.values().filter_map(|product| product.place.as_ref());
    let folders = places.filter_map(|place| Some(place.file.parent()?.join("policies")));
    let folders: BTreeSet<PathBuf> = folders.chain(mesh.map(Path::to_path_buf)).collect();
    let mut files = BTreeSet::new();
    for folder in &folders {
        match tests_in(folder) {
            Ok(found) => files.extend(found),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(Error::config(format!("cannot read the folder {}", folder.display())).with_source(e));
            }
        }
    }
    Ok(files.into_iter().collect())
}

fn tests_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
        let is_test = name.ends_with(".test.yaml") || name.ends_with(".test.yml");
        if is_test && !name.starts_with('.') {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(std::io::Error::other(format!("more than {MAX_FILES} files of test cases")));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn cases_have_rows_or_a_refusal() {
        let text = "cases:\n- name: a\n  as: {user: ann, attributes: {region: EU, team: [x, y]}}\n  query: SELECT 1\n  \
                    rows: [[1, null, \"1.50\", true]]\n- name: b\n  as: {user: bob, groups: []}\n  query: SELECT 1\n  \
                    refused: may not\n";
        let cases = parse_cases(text, Path::new("a.test.yaml")).unwrap();
        let [first, second] = cases.as_slice() else { panic!("{cases:?}") };
        let row = [Some("1"), None, Some("1.50"), Some("true")].map(|value| value.map(str::to_owned));
        assert_eq!(first.expected, Expected::Rows(vec![row.to_vec()]));
        assert_eq!((first.place.line, second.place.line), (Some(2), Some(6)));
        let attributes = first.principal.attributes().unwrap();
        assert_eq!((attributes["region"].len(), attributes["team"].len()), (1, 2));
        assert_eq!((first.principal.groups(), second.principal.groups()), (None, Some(BTreeSet::new())));
        assert_eq!(second.expected, Expected::Refused("may not".to_owned()));
        let error = parse_cases("cases:\n- {name: a, as: {user: b}, query: SELECT 1}\n", Path::new("a.test.yaml"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a.test.yaml:2") && error.contains("needs one of `rows` and `refused`"), "{error}");
    }
}
