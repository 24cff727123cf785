//! The calls of Flight SQL: what each request does.

mod service;

pub(crate) use service::Service;
