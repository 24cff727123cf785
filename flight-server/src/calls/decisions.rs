//! `DoAction`: the decisions of policies about the ports of this node, for the principal of another node's request.

use arrow_flight::Action;
use bytes::Bytes;
use portolan_connectors::node::protocol::read_decision_request;
use portolan_engine::{Result, server};

use super::actions::json;
use super::service::Service;
use crate::callers::{Caller, Purpose};
use crate::dispatch::{Request, ticket};
use crate::failure::invalid;

impl Service {
    /// Returns the decisions that a node requests. The sender signs the principal as for a fragment.
    pub(super) async fn decisions(&self, caller: &Caller, action: &Action) -> Result<Bytes> {
        let Request::Fragment(ticket) = ticket(&action.body)? else {
            return Err(invalid("a request for decisions has the ticket of a fragment"));
        };
        let sent = self.sent(caller, ticket, Purpose::Run)?;
        let asked = read_decision_request(&sent.encoded.plan)?;
        json(&server::decide_ports(&self.engine, sent, asked).await?)
    }
}
