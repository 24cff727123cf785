//! What a session can set: typed, parsed once, unknown names refused with the nearest known one.

use std::time::Duration;

use portolan_catalog::nearest::nearest;

use crate::{Error, ErrorKind, Result};

/// Bytes of a setting's value: sessions keep them.
const LONGEST_VALUE: usize = 4096;

/// The settings of a session, changed by `SET name = value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `catalog`: the domain that names of two parts (`product.port`) are looked up in. Default: none.
    pub catalog: Option<String>,
    /// `schema`: the data product that names of one part are looked up in, after the session's own tables. Default:
    /// `mesh`.
    pub schema: Option<String>,
    /// `portolan.compression`: how rows to this session's client are compressed. Default: none.
    pub compression: Compression,
    /// `portolan.endpoints`: in how many parts a client may fetch a result at once, 1 to 64. With more than one the
    /// query runs to its end on its own, and its rows are kept until they expire. Results that are in order have one.
    /// Default: 1, since some clients read no more.
    pub endpoints: usize,
    /// `portolan.placement`: whether work is placed at the owners of data. Off: every row of every
    /// port that is read comes here, in the columns that the query needs, and all work is done here; the rows are the
    /// same. Default: on.
    pub placement: bool,
    /// `portolan.pushdown`: what of a query is placed at the owners of data. Default: all that may and pays.
    pub pushdown: Pushdown,
    /// `portolan.query_timeout`: seconds that a query may take; at most the node's own limit. Default: that limit.
    pub query_timeout: Option<Duration>,
    /// `portolan.strategy`: how rows cross between owners: one word for every join across sites, or a list with one
    /// for each in the order of the plan's printed form. Default: `auto`, whatever costs least.
    pub strategy: Vec<StrategyChoice>,
    /// `portolan.key_form`: how keys travel. Default: `auto`, whatever costs least.
    pub key_form: Option<KeyFormChoice>,
    /// `portolan.key_wait`: the longest that a scan at an owner waits for keys, in seconds. Default: 2.
    pub key_wait: Duration,
    /// `portolan.join_order`: whether joins are put into the order that costs least. Off: as written. Default: on.
    pub join_order: bool,
    /// `portolan.adapt_factor`: how many times larger or smaller than expected a side must turn out before what did
    /// not start yet is decided again. At least 1. Default: 4.
    pub adapt_factor: f64,
    /// `portolan.string_views`: whether clients are sent strings and binary values with views as they are. Off: as
    /// `Utf8` and `Binary`, which every driver reads. Default: off.
    pub string_views: bool,
}

/// What of a query is placed at the owners of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pushdown {
    /// Whatever may be there and costs least there.
    #[default]
    All,
    /// Filters and projections of single ports: what federated engines ask of any source.
    Scans,
}

/// How rows to a client are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are not.
    #[default]
    None,
    /// By LZ4: quick.
    Lz4,
    /// By Zstandard: smaller.
    Zstd,
}

impl Compression {
    const ALL: &[(&str, Self)] = &[("none", Self::None), ("lz4", Self::Lz4), ("zstd", Self::Zstd)];
}

/// A forced strategy for a join across sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyChoice {
    /// Whatever costs least.
    Auto,
    /// Both sides come here.
    Gather,
    /// The left side's keys cut the right side.
    KeysFromLeft,
    /// The right side's keys cut the left side.
    KeysFromRight,
    /// The owner of the left side pulls the right side and joins.
    DelegateToLeft,
    /// The owner of the right side pulls the left side and joins.
    DelegateToRight,
}

/// A forced form of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormChoice {
    /// As literals in the fragment's plan.
    Literals,
    /// As a batch beside it.
    Batch,
    /// As a Bloom filter.
    Bloom,
    /// As the least and the greatest.
    Range,
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

impl KeyFormChoice {
    const ALL: &[(&str, Self)] =
        &[("literals", Self::Literals), ("batch", Self::Batch), ("bloom", Self::Bloom), ("range", Self::Range)];
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            catalog: None,
            schema: None,
            compression: Compression::None,
            endpoints: 1,
            placement: true,
            pushdown: Pushdown::All,
            query_timeout: None,
            strategy: vec![],
            key_form: None,
            key_wait: Duration::from_secs(2),
            join_order: true,
            adapt_factor: 4.0,
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
    "portolan.pushdown",
    "portolan.query_timeout",
    "portolan.strategy",
    "portolan.string_views",
    "schema",
];

impl Settings {
    /// Sets one setting from text.
    ///
    /// # Errors
    /// `InvalidQuery` for an unknown name (with the nearest known one) or a value that does not fit.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if value.len() > LONGEST_VALUE {
            let what = format!("the value of a setting takes at most {LONGEST_VALUE} bytes");
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
                self.adapt_factor = number(name, value, "of at least 1", |f| (1.0..1e9).contains(&f))?;
            }
            "portolan.join_order" => self.join_order = switch(name, value)?,
            "portolan.string_views" => self.string_views = switch(name, value)?,
            "portolan.key_form" => {
                self.key_form = match value.to_lowercase().as_str() {
                    "auto" => None,
                    word => Some(choice(name, word, KeyFormChoice::ALL)?),
                }
            }
            "portolan.strategy" => {
                let words = value.to_lowercase();
                let words = words.split(',').map(str::trim);
                self.strategy = words.map(|w| choice(name, w, StrategyChoice::ALL)).collect::<Result<_>>()?;
            }
            _ => {
                let hint = nearest(name, SETTINGS.iter().copied())
                    .map(|n| format!("; did you mean `{n}`?"))
                    .unwrap_or_default();
                return Err(invalid(format!("there is no setting `{name}`{hint}")));
            }
        }
        Ok(())
    }

    /// Sets one setting back to its default.
    ///
    /// # Errors
    /// `InvalidQuery` for an unknown name, with the nearest known one.
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

    /// Every setting's name and present value, as text.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let on_off = |on| if on { "on" } else { "off" }.to_owned();
        let strategies: Vec<_> = self.strategy.iter().map(|s| word(*s, StrategyChoice::ALL)).collect();
        vec![
            ("catalog", self.catalog.clone().unwrap_or_default()),
            ("portolan.adapt_factor", self.adapt_factor.to_string()),
            ("portolan.compression", word(self.compression, Compression::ALL).into()),
            ("portolan.endpoints", self.endpoints.to_string()),
            ("portolan.join_order", on_off(self.join_order)),
            ("portolan.key_form", self.key_form.map_or("auto", |f| word(f, KeyFormChoice::ALL)).into()),
            ("portolan.key_wait", self.key_wait.as_secs_f64().to_string()),
            ("portolan.placement", on_off(self.placement)),
            ("portolan.pushdown", word(self.pushdown, Pushdown::ALL).into()),
            (
                "portolan.query_timeout",
                self.query_timeout.map_or_else(|| "the node's limit".into(), |t| t.as_secs_f64().to_string()),
            ),
            ("portolan.strategy", if strategies.is_empty() { "auto".into() } else { strategies.join(",") }),
            ("portolan.string_views", on_off(self.string_views)),
            ("schema", self.schema.clone().unwrap_or_default()),
        ]
    }
}

fn number(name: &str, value: &str, what: &str, fits: impl Fn(f64) -> bool) -> Result<f64> {
    let parsed = value.parse().ok().filter(|n: &f64| n.is_finite() && fits(*n));
    parsed.ok_or_else(|| invalid(format!("`{name}` takes a number {what}, not `{value}`")))
}

fn choice<T: Copy>(name: &str, value: &str, all: &[(&str, T)]) -> Result<T> {
    all.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|(word, _)| format!("`{word}`")).collect();
        let hint = nearest(value, all.iter().map(|(word, _)| *word));
        let hint = hint.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        invalid(format!("`{name}` is {}, not `{value}`{hint}", words.join(", ")))
    })
}

fn word<T: PartialEq>(choice: T, all: &[(&'static str, T)]) -> &'static str {
    all.iter().find(|(_, c)| *c == choice).map_or("", |(word, _)| *word)
}

fn switch(name: &str, value: &str) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(invalid(format!("`{name}` is `on` or `off`, not `{value}`"))),
    }
}

fn invalid(context: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}
