//! A YAML document as a tree whose nodes have line numbers.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;

use super::whole_file;
use crate::{Diagnostic, Diagnostics, Place};

/// The largest depth of nested mappings and lists.
const MAX_DEPTH: usize = 40;
/// The largest number of nodes in a document, with aliases expanded.
const MAX_NODES: usize = 200_000;

/// A parsed YAML document, and its file.
#[derive(Clone, Debug)]
pub struct Document {
    file: PathBuf,
    pub(super) root: Node,
}

/// One step of a path in a document, into a mapping or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value of this key.
    Key(String),
    /// The item at this index, from 0.
    Index(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    line: usize,
    pub(super) node: Node,
}

impl Document {
    /// Parses `text`, which was read from `file`. The depth and the number of nodes are bounded, with aliases expanded.
    ///
    /// # Errors
    /// Invalid syntax, a key that occurs twice, more than one document, or a document that exceeds the bounds.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Diagnostics> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: MAX_DEPTH,
                max_nodes: MAX_NODES,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: MAX_NODES,
                max_replay_stack_depth: MAX_DEPTH,
            },
            strict_booleans: true,
            emit_comments: false,
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Node>(text, options) {
            Ok(Node { value: Value::Null, .. }) => Err(whole_file(file, "the file is empty".into())),
            Ok(root) => Ok(Self { file: file.into(), root }),
            Err(e) => Err(Diagnostics(vec![diagnose(&e, file)])),
        }
    }

    /// Returns the file that the document was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the document as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        self.root.to_json()
    }

    /// Returns the place of `path`. If the document has no such node, the line is that of the nearest parent.
    pub fn place(&self, path: &[Step]) -> Place {
        let mut line = self.root.line;
        let mut node = Some(&self.root);
        for step in path {
            node = match (step, node.map(|n| &n.value)) {
                (Step::Key(key), Some(Value::Map(entries))) => entries.iter().find(|e| e.key == *key).map(|e| {
                    line = e.line;
                    &e.node
                }),
                (Step::Index(i), Some(Value::List(items))) => items.get(*i).inspect(|n| line = n.line),
                _ => None,
            };
        }
        Place { file: self.file.clone(), line: Some(line), field: field(path) }
    }

    /// Returns the steps of a JSON Pointer. A number is an index if the document has a list at this place.
    pub fn steps(&self, pointer: &str) -> Vec<Step> {
        let mut node = Some(&self.root);
        let mut steps = vec![];
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let (step, next) = match (node.map(|n| &n.value), token.parse::<usize>()) {
                (Some(Value::List(items)), Ok(i)) => (Step::Index(i), items.get(i)),
                (Some(Value::Map(entries)), _) => {
                    let next = entries.iter().find(|e| e.key == token).map(|e| &e.node);
                    (Step::Key(token), next)
                }
                _ => (Step::Key(token), None),
            };
            steps.push(step);
            node = next;
        }
        steps
    }

    /// Removes the innermost entry of a mapping that holds the node at `path`, and returns the path of the entry. Returns
    /// `None` if there is no such entry.
    pub(super) fn remove_entry(&mut self, path: &[Step]) -> Option<Vec<Step>> {
        let end = path.iter().rposition(|step| matches!(step, Step::Key(_)))?;
        let path = &path[..=end];
        let Some((Step::Key(last), parents)) = path.split_last() else { return None };
        let mut node = &mut self.root;
        for step in parents {
            node = match (step, &mut node.value) {
                (Step::Key(key), Value::Map(entries)) => {
                    entries.iter_mut().find(|e| e.key == *key).map(|e| &mut e.node)
                }
                (Step::Index(i), Value::List(items)) => items.get_mut(*i),
                _ => None,
            }?;
        }
        let Value::Map(entries) = &mut node.value else { return None };
        let before = entries.len();
        entries.retain(|e| e.key != *last);
        (entries.len() < before).then(|| path.to_vec())
    }
}

/// Returns a key as a token of a JSON Pointer, which [`Document::steps`] reads.
pub fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Returns a path in a readable notation, such as `schema[0].properties[2].name`.
fn field(path: &[Step]) -> String {
    let mut field = String::new();
    for step in path {
        match step {
            Step::Index(i) => field.push_str(&format!("[{i}]")),
            Step::Key(key) => {
                if !field.is_empty() {
                    field.push('.');
                }
                field.push_str(key);
            }
        }
    }
    field
}

fn diagnose(error: &serde_saphyr::Error, file: &Path) -> Diagnostic {
    let line = error.location().map(|l| l.line() as usize).filter(|l| *l > 0);
    let place = Place { file: file.into(), line, field: String::new() };
    Diagnostic::new(place, explain(error))
}

fn explain(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as E;

    let too_large =
        || format!("too large or too deep: at most {MAX_DEPTH} levels and {MAX_NODES} values, with aliases expanded");
    match error {
        E::AliasError { error, .. } => explain(error),
        E::Message { msg, .. } => msg.clone(),
        E::Eof { .. } => "the file is empty".into(),
        E::MultipleDocuments { .. } => "more than one YAML document; put each into a file of its own".into(),
        E::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` occurs twice in one mapping"),
        E::DuplicateMappingKey { key: None, .. } => "a key occurs twice in one mapping".into(),
        E::UnknownAnchor { .. } => "an alias (`*name`) without its anchor (`&name`)".into(),
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. }
        | E::AliasReplayCounterOverflow { .. } => too_large(),
        E::ExternalMessage { msg, .. } if msg.contains("recursion limit") => too_large(),
        E::ExternalMessage { msg, .. } => format!("not valid YAML: {msg}"),
        E::NonFiniteFloat { value, .. } => format!("`{value}` is not a finite number"),
        other => format!("not valid YAML: {other}"),
    }
}

impl Node {
    fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Number(n) => n.clone().into(),
            Value::String(s) => s.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line() as usize, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = vec![];
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = vec![];
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
            entries.push(Entry { line: key.referenced.line() as usize, key: key.value, node });
        }
        Ok(Value::Map(entries))
    }
}
