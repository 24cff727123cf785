//! Right rows where DataFusion 55.2 has wrong ones: one file a kind of fault, with right values written by hand, by every
//! way that the planner knows. The book's page on what differs from DataFusion lists the kinds.

mod branch_types;
mod decimals;
mod timestamps;
mod unrelated_types;
mod years;
