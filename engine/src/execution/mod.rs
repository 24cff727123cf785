//! Runs physical plans: on their own threads, within limits, as streams with back-pressure.

pub(crate) mod accounts;
pub(crate) mod admission;
pub(crate) mod barrier;
pub(crate) mod budget;
pub(crate) mod compact;
pub(crate) mod conform;
pub(crate) mod disk;
pub(crate) mod errors;
pub(crate) mod memory;
pub(crate) mod part;
pub(crate) mod pressure;
pub(crate) mod recording;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod shared;
pub(crate) mod spill;
pub(crate) mod spill_folder;
pub(crate) mod split_batches;
pub(crate) mod stop;
pub(crate) mod watch;
pub(crate) mod yielding;
