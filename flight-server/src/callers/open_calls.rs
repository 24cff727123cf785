//! The calls whose rows flow. A call ends when its caller is no longer accepted. Not every caller has a session, and rows of
//! fragments and of kept results flow without one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use portolan_connectors::lock;
use portolan_engine::Error;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use crate::failure::unauthenticated;

/// The open calls of a server.
#[derive(Default)]
pub(super) struct OpenCalls(Mutex<CallList>);

#[derive(Default)]
struct CallList {
    calls: HashMap<u64, (Identity, CancellationToken)>,
    next: u64,
}

/// A call that is listed until it is dropped.
pub(crate) struct OpenCall {
    calls: Arc<OpenCalls>,
    number: u64,
    ended: CancellationToken,
}

impl OpenCalls {
    /// Lists a call of `caller`.
    pub(super) fn open(self: &Arc<Self>, caller: &Identity) -> OpenCall {
        let ended = CancellationToken::new();
        let mut list = lock(&self.0);
        let number = list.next;
        list.next += 1;
        list.calls.insert(number, (caller.clone(), ended.clone()));
        OpenCall { calls: self.clone(), number, ended }
    }

    /// Ends the calls of the callers that are not accepted.
    pub(super) fn end_unless(&self, accepts: impl Fn(&Identity) -> bool) {
        let list = lock(&self.0);
        list.calls.values().filter(|(caller, _)| !accepts(caller)).for_each(|(_, ended)| ended.cancel());
    }
}

impl OpenCall {
    /// Returns an error when the caller is no longer accepted.
    pub(crate) async fn ended(&self) -> Error {
        self.ended.cancelled().await;
        changed_during("call")
    }
}

/// Returns the error for a caller who was accepted at the start of `what`, and no longer is.
pub(super) fn changed_during(what: &str) -> Error {
    unauthenticated(format!("the accepted credentials were changed during the {what}: log in again"))
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        lock(&self.calls.0).calls.remove(&self.number);
    }
}
