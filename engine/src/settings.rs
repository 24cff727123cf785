//! What a session can set: typed, parsed once, unknown names refused with the nearest known one.

use std::time::Duration;

use portolan_catalog::nearest::nearest;

use crate::{Error, ErrorKind, Result};

/// The settings of a session, changed by `SET name = value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `portolan.placement`: whether work is placed at the owners of data. Off: every row of every
    /// port that is read comes here, in the columns that the query needs, and all work is done here; the rows are the
    /// same. Default: on.
    pub placement: bool,
    /// `portolan.query_timeout`: seconds that a query may take; at most the node's own limit. Default: that limit.
    pub query_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { placement: true, query_timeout: None }
    }
}

/// The names of every setting.
pub const SETTINGS: &[&str] = &["portolan.placement", "portolan.query_timeout"];

impl Settings {
    /// Sets one setting from text.
    ///
    /// # Errors
    /// `InvalidQuery` for an unknown name (with the nearest known one) or a value that does not fit.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name.to_lowercase().as_str() {
            "portolan.placement" => self.placement = switch(name, value)?,
            "portolan.query_timeout" => {
                let seconds: f64 = value
                    .parse()
                    .ok()
                    .filter(|s: &f64| s.is_finite() && *s > 0.0 && *s < 1e9)
                    .ok_or_else(|| invalid(format!("`{name}` takes a number of seconds above 0, not `{value}`")))?;
                self.query_timeout = Some(Duration::from_secs_f64(seconds));
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

    /// Every setting's name and present value, as text.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        vec![
            ("portolan.placement", if self.placement { "on" } else { "off" }.into()),
            (
                "portolan.query_timeout",
                self.query_timeout.map_or_else(|| "the node's limit".into(), |t| t.as_secs_f64().to_string()),
            ),
        ]
    }
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
