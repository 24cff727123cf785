//! The settings of a session. They are typed and parsed once, and an unknown name is rejected with the nearest known
//! one.

use std::time::Duration;

use portolan_catalog::is_printable;
use portolan_catalog::nearest::nearest;
use portolan_connectors::{KeyForm, Subject};

use crate::{Error, ErrorKind, Result};

/// The largest size of a setting's value, in bytes, because sessions keep the values.
const LONGEST_VALUE: usize = 4096;
/// The largest size of a purpose, in bytes. It travels with each fragment.
const LONGEST_PURPOSE: usize = 256;

/// The settings of a session, changed by `SET name = value`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// `catalog`: the domain of names with two parts (`product.port`). Default: none.
    pub catalog: Option<String>,
    /// `schema`: the data product of names with one part, which are first looked up among the session's own tables.
    /// Default: `mesh`.
    pub schema: Option<String>,
    /// `portolan.compression`: the compression of rows to this session's client. Default: none.
    pub compression: Compression,
    /// `portolan.endpoints`: the number of parts in which a client may fetch a result in parallel, 1 to 64. With more
    /// than one part, the query runs to its end without the client, and the node keeps the rows until they expire.
    /// Ordered results have one part. Default: 1, because some clients read only one.
    pub endpoints: usize,
    /// `portolan.placement`: true if work is placed at the owners of data. Off: the local node gathers every row of
    /// every port that the query reads, in the columns that it needs, and does all of the work. The rows of the result
    /// are the same. Default: on.
    pub placement: bool,
    /// `portolan.purpose`: the purpose for which the session reads data. Policies and agreements may require one.
    /// Default: none.
    pub purpose: Option<String>,
    /// `portolan.pushdown`: the parts of a query that may be placed at the owners of data. Default: all parts that may
    /// be, if that costs least.
    pub pushdown: Pushdown,
    /// `portolan.query_timeout`: the timeout of a query in seconds, up to the node's own limit. Default: that limit.
    pub query_timeout: Option<Duration>,
    /// `portolan.strategy`: how rows cross between owners. The value is one word for every join across sites, or a list
    /// with one word for each join in the order of the printed plan. Default: `auto`, the strategy that costs least.
    pub strategy: Vec<StrategyChoice>,
    /// `portolan.key_form`: the encoding of join keys. Default: `auto`, the encoding that costs least.
    pub key_form: Option<KeyForm>,
    /// `portolan.key_wait`: the longest time that a scan at an owner waits for join keys, in seconds. Default: 2.
    pub key_wait: Duration,
    /// `portolan.join_order`: true if the planner orders joins by cost. Off: joins run as written. Default: on.
    pub join_order: bool,
    /// `portolan.adapt_factor`: the factor by which the rows of a side, or of a join by counted keys, must differ from
    /// their estimate before the fragments that have not started are planned again. At least 1. Infinite for `off`: then
    /// nothing is counted, and no plan changes while it runs. Default: 4.
    pub adapt_factor: f64,
    /// `portolan.share`: true if equal parts of a query are computed once, and equal fragments are sent once. Off: each
    /// part is computed where it occurs, but for `WITH` queries whose rows could differ from run to run. Default: on.
    pub share: bool,
    /// `portolan.string_views`: true if clients receive strings and binary values as views. Off: clients receive `Utf8`
    /// and `Binary`, which every driver reads. Default: off.
    pub string_views: bool,
}

/// The parts of a query that may be placed at the owners of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushdown {
    /// All parts that may run at an owner and cost least there.
    #[default]
    All,
    /// Filters and projections of single ports, which federated engines push down to any source.
    Scans,
}

/// The compression of rows to a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// LZ4, which is fast.
    Lz4,
    /// Zstandard, whose output is smaller.
    Zstd,
}

impl Compression {
    const ALL: &[(&str, Self)] = &[("none", Self::None), ("lz4", Self::Lz4), ("zstd", Self::Zstd)];
}

/// A forced strategy for a join across sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StrategyChoice {
    /// The strategy that costs least.
    Auto,
    /// The local node gathers both sides.
    Gather,
    /// The left side's join keys reduce the right side.
    KeysFromLeft,
    /// The right side's join keys reduce the left side.
    KeysFromRight,
    /// The owner of the left side fetches the right side and joins.
    DelegateToLeft,
    /// The owner of the right side fetches the left side and joins.
    DelegateToRight,
}

impl Pushdown {
    const ALL: &[(&str, Self)] = &[("all", Self::All), ("scans", Self::Scans)];
}

impl StrategyChoice {
    const ALL: &[(&str, Self)] = &[
        ("auto", Self::Auto),
        ("gather", Self::Gather),
        ("keys_from_left", Self::KeysFromLeft),
        ("keys_from_right", Self::KeysFromRight),
        ("delegate_to_left", Self::DelegateToLeft),
        ("delegate_to_right", Self::DelegateToRight),
    ];
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            catalog: None,
            schema: None,
            compression: Compression::None,
            endpoints: 1,
            placement: true,
            purpose: None,
            pushdown: Pushdown::All,
            query_timeout: None,
            strategy: vec![],
            key_form: None,
            key_wait: Duration::from_secs(2),
            join_order: true,
            adapt_factor: 4.0,
            share: true,
            string_views: false,
        }
    }
}

/// The names of every setting.
pub const SETTINGS: &[&str] = &[
    "catalog",
    "portolan.adapt_factor",
    "portolan.compression",
    "portolan.endpoints",
    "portolan.join_order",
    "portolan.key_form",
    "portolan.key_wait",
    "portolan.placement",
    "portolan.purpose",
    "portolan.pushdown",
    "portolan.query_timeout",
    "portolan.share",
    "portolan.strategy",
    "portolan.string_views",
    "schema",
];

impl Settings {
    /// Sets one setting from a string.
    ///
    /// # Errors
    /// `InvalidQuery` if the name is unknown (with the nearest known one), or the value does not fit.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if value.len() > LONGEST_VALUE {
            let what = format!("the value of a setting may have at most {LONGEST_VALUE} bytes");
            return Err(Error::new(ErrorKind::InvalidQuery, what));
        }
        match name.to_lowercase().as_str() {
            "catalog" => self.catalog = Some(value.to_owned()).filter(|v| !v.is_empty()),
            "schema" => self.schema = Some(value.to_owned()).filter(|v| !v.is_empty()),
            "portolan.compression" => self.compression = choice(name, &value.to_lowercase(), Compression::ALL)?,
            "portolan.endpoints" => {
                let whole = |n: f64| n.fract() == 0.0 && (1.0..=64.0).contains(&n);
                self.endpoints = number(name, value, "of parts from 1 to 64", whole)? as usize;
            }
            "portolan.placement" => self.placement = switch(name, value)?,
            "portolan.purpose" => {
                if value.len() > LONGEST_PURPOSE || !is_printable(value) {
                    let what = format!("a purpose of at most {LONGEST_PURPOSE} bytes without invisible characters");
                    return Err(invalid(format!("`{name}`: expected {what}")));
                }
                self.purpose = Some(value.trim().to_owned()).filter(|v| !v.is_empty());
            }
            "portolan.pushdown" => self.pushdown = choice(name, &value.to_lowercase(), Pushdown::ALL)?,
            "portolan.query_timeout" => {
                let seconds = number(name, value, "of seconds above 0", |s| s > 0.0 && s < 1e9)?;
                self.query_timeout = Some(Duration::from_secs_f64(seconds));
            }
            "portolan.key_wait" => {
                let seconds = number(name, value, "of seconds from 0 to 3600", |s| (0.0..=3600.0).contains(&s))?;
                self.key_wait = Duration::from_secs_f64(seconds);
            }
            "portolan.adapt_factor" => {
                self.adapt_factor = match value.to_lowercase().as_str() {
                    "off" => f64::INFINITY,
                    _ => number(name, value, "of at least 1, or `off`", |f| (1.0..1e9).contains(&f))?,
                };
            }
            "portolan.join_order" => self.join_order = switch(name, value)?,
            "portolan.share" => self.share = switch(name, value)?,
            "portolan.string_views" => self.string_views = switch(name, value)?,
            "portolan.key_form" => {
                self.key_form = match value.to_lowercase().as_str() {
                    "auto" => None,
                    word => Some(choice(name, word, &KeyForm::ALL.map(|form| (form.name(), form)))?),
                }
            }
            "portolan.strategy" => {
                let words = value.to_lowercase();
                let words = words.split(',').map(str::trim);
                self.strategy = words.map(|w| choice(name, w, StrategyChoice::ALL)).collect::<Result<_>>()?;
            }
            _ => {
                // With the prefix, any two names would be close to one another.
                let short = |name: &str| name.strip_prefix("portolan.").unwrap_or(name).to_owned();
                let all: Vec<String> = SETTINGS.iter().map(|known| short(known)).collect();
                let wanted = short(&name.to_lowercase());
                let near = nearest(&wanted, all.iter().map(String::as_str));
                let near = near.and_then(|near| SETTINGS.iter().find(|known| short(known) == near));
                let error = invalid(format!("there is no setting `{name}`")).suggesting(near.copied());
                return Err(error.about(Some(Subject::Name(wanted))));
            }
        }
        Ok(())
    }

    /// Resets one setting to its default.
    ///
    /// # Errors
    /// `InvalidQuery` if the name is unknown, with the nearest known one.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let default = Self::default();
        match name.to_lowercase().as_str() {
            "portolan.query_timeout" => self.query_timeout = default.query_timeout,
            "portolan.strategy" => self.strategy = default.strategy,
            lowercase => {
                let value = default.values().into_iter().find(|(known, _)| *known == lowercase);
                return self.set(name, &value.map(|(_, text)| text).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// True if the rest of a plan may be planned again while the query runs.
    pub(crate) fn adapts(&self) -> bool {
        self.adapt_factor.is_finite()
    }

    /// Returns the name and the current value of every setting, as strings.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let on_off = |on| if on { "on" } else { "off" }.to_owned();
        let strategies: Vec<_> = self.strategy.iter().map(|s| word(*s, StrategyChoice::ALL)).collect();
        vec![
            ("catalog", self.catalog.clone().unwrap_or_default()),
            ("portolan.adapt_factor", if self.adapts() { self.adapt_factor.to_string() } else { "off".into() }),
            ("portolan.compression", word(self.compression, Compression::ALL).into()),
            ("portolan.endpoints", self.endpoints.to_string()),
            ("portolan.join_order", on_off(self.join_order)),
            ("portolan.key_form", self.key_form.map_or("auto", KeyForm::name).into()),
            ("portolan.key_wait", self.key_wait.as_secs_f64().to_string()),
            ("portolan.placement", on_off(self.placement)),
            ("portolan.purpose", self.purpose.clone().unwrap_or_default()),
            ("portolan.pushdown", word(self.pushdown, Pushdown::ALL).into()),
            (
                "portolan.query_timeout",
                self.query_timeout.map_or_else(|| "the node's limit".into(), |t| t.as_secs_f64().to_string()),
            ),
            ("portolan.share", on_off(self.share)),
            ("portolan.strategy", if strategies.is_empty() { "auto".into() } else { strategies.join(",") }),
            ("portolan.string_views", on_off(self.string_views)),
            ("schema", self.schema.clone().unwrap_or_default()),
        ]
    }
}

fn number(name: &str, value: &str, what: &str, fits: impl Fn(f64) -> bool) -> Result<f64> {
    let parsed = value.parse().ok().filter(|n: &f64| n.is_finite() && fits(*n));
    parsed.ok_or_else(|| invalid(format!("`{name}`: expected a number {what}, got `{value}`")))
}

fn choice<T: Copy>(name: &str, value: &str, all: &[(&str, T)]) -> Result<T> {
    all.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|(word, _)| format!("`{word}`")).collect();
        let near = nearest(value, all.iter().map(|(word, _)| *word));
        invalid(format!("`{name}`: expected {}, got `{value}`", words.join(", "))).suggesting(near)
    })
}

fn word<T: PartialEq>(choice: T, all: &[(&'static str, T)]) -> &'static str {
    all.iter().find(|(_, c)| *c == choice).map_or("", |(word, _)| *word)
}

fn switch(name: &str, value: &str) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(invalid(format!("`{name}`: expected `on` or `off`, got `{value}`"))),
    }
}

fn invalid(context: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}
