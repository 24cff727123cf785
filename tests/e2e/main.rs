//! End-to-end tests: real processes, real clients, faults.

mod abuse;
mod authentication;
mod book;
mod clients;
mod conformance;
mod delegation;
mod descriptors;
mod fair_shares;
mod files_gone;
mod floors;
mod library;
mod lies;
mod lifecycle;
mod limits;
mod owners_away;
mod planning;
mod random;
mod right_rows;
mod scenarios;
mod security;
mod sources;
mod sql_site;
mod statements;
mod tpch;
mod writes;
