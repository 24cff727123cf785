//! The calls of Flight SQL: what each request does.

mod fetch;
mod info;
mod put;
mod service;

pub(crate) use service::Service;
