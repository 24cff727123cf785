//! The calls of Flight SQL: what each request does.

mod actions;
mod fetch;
mod handler;
mod info;
mod put;
mod service;

pub(crate) use service::Service;
