//! The parts that the demo, the tests and the benchmarks share: TPC-H over three domains, as a mesh of processes and in
//! one process, and the comparison of two results.

pub mod calendar;
pub mod compare;
pub mod copy_text;
pub mod descriptors;
pub mod leash;
pub mod mesh;
pub mod postgres;
pub mod single;
pub mod tpch;
