//! Right rows where DataFusion 55.2 has wrong ones: one file a kind of fault, with right values written by hand, by every
//! way that the planner knows. The book's page on what differs from DataFusion lists the kinds.

mod aggregate_filters;
mod branch_types;
mod changing_files;
mod csv_line_breaks;
mod file_order;
mod folders;
mod integer_overflow;
mod float_extrema;
mod footers;
mod sources;
mod lacking_columns;
mod odd_columns;
mod patterns;
mod set_operations;
mod text_values;
mod using_joins;
mod volatile;
mod widening;
