//! Estimates over the tables of a test mesh.
