//! Reports of the progress of long work.

use std::sync::Arc;

/// A receiver of what is being done, in words.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;
