//! `session_options`: a session that a cookie names, and its options.

use std::collections::HashMap;
use std::sync::Mutex;

use arrow::datatypes::SchemaRef;
use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use portolan_flight_server::Result;
use portolan_flight_server::dispatch::{
    CallContext, CloseSessionStatus, Handler, Head, Messages, OptionValue, PutAnswer, Request, SessionOptions,
    SetSessionOptionErrorValue, Upload,
};
use tonic::metadata::MetadataMap;

use super::{Handshake, unexpected};

const COOKIE: &str = "arrow_flight_session_id";
const INVALID: &str = "lol_invalid";

/// The open sessions. A session's name is its index.
#[derive(Default)]
pub(super) struct Sessions {
    options: Mutex<Vec<Option<SessionOptions>>>,
}

/// The caller in a session.
pub(super) struct Visitor {
    session: usize,
    fresh: bool,
}

impl CallContext for Visitor {
    fn name(&self) -> &str {
        "a visitor"
    }

    fn mark(&self, headers: &mut MetadataMap) {
        if self.fresh {
            headers.insert("set-cookie", format!("{COOKIE}={}", self.session).parse().unwrap());
        }
    }
}

#[tonic::async_trait]
impl Handler for Sessions {
    type Caller = Visitor;

    async fn identify(&self, head: &Head) -> Result<Visitor> {
        let mut options = self.options.lock().unwrap();
        let Some(cookie) = head.headers.get("cookie") else {
            options.push(Some(SessionOptions::new()));
            return Ok(Visitor { session: options.len() - 1, fresh: true });
        };
        let named = cookie.to_str().ok().and_then(|text| text.split_once('='));
        let session = named.filter(|(name, _)| *name == COOKIE).and_then(|(_, session)| session.parse().ok());
        match session {
            Some(session) if matches!(options.get(session), Some(Some(_))) => Ok(Visitor { session, fresh: false }),
            _ => Err(unexpected(cookie)),
        }
    }

    async fn log_in(&self, _: &Head, _: Handshake) -> Result<String> {
        Err(unexpected("a login"))
    }

    async fn info(&self, _: &Visitor, request: Request, _: FlightDescriptor) -> Result<FlightInfo> {
        Err(unexpected(request))
    }

    async fn poll(&self, _: &Visitor, request: Request, _: FlightDescriptor) -> Result<PollInfo> {
        Err(unexpected(request))
    }

    async fn schema(&self, _: &Visitor, request: Request) -> Result<SchemaRef> {
        Err(unexpected(request))
    }

    async fn fetch(&self, _: &Visitor, request: Request) -> Result<Messages> {
        Err(unexpected(request))
    }

    async fn put(&self, _: &Visitor, request: Request, _: Upload) -> Result<PutAnswer> {
        Err(unexpected(request))
    }

    async fn set_options(
        &self,
        caller: &Visitor,
        options: SessionOptions,
    ) -> Result<HashMap<String, SetSessionOptionErrorValue>> {
        let mut sessions = self.options.lock().unwrap();
        let kept = sessions[caller.session].as_mut().ok_or_else(|| unexpected("a closed session"))?;
        let mut errors = HashMap::new();
        for (name, value) in options {
            match value {
                _ if name == INVALID => _ = errors.insert(name, SetSessionOptionErrorValue::InvalidName),
                Some(OptionValue::String(text)) if text == INVALID => {
                    errors.insert(name, SetSessionOptionErrorValue::InvalidValue);
                }
                Some(value) => _ = kept.insert(name, Some(value)),
                None => _ = kept.remove(&name),
            }
        }
        Ok(errors)
    }

    async fn options(&self, caller: &Visitor) -> Result<SessionOptions> {
        self.options.lock().unwrap()[caller.session].clone().ok_or_else(|| unexpected("a closed session"))
    }

    async fn close_session(&self, caller: &Visitor) -> Result<CloseSessionStatus> {
        self.options.lock().unwrap()[caller.session] = None;
        Ok(CloseSessionStatus::Closed)
    }
}
