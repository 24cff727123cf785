//! The calls of Flight SQL, one file for each kind of request.

mod actions;
mod decisions;
mod fetch;
mod handler;
mod info;
mod put;
mod service;

pub(crate) use service::Service;
