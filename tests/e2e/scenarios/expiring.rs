//! `expiration_time:*`: three endpoints, two of which expire. A cancelled endpoint can no longer be fetched.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arrow::array::UInt32Array;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::{ActionType, CancelStatus, FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo};
use portolan_flight_server::Result;
use portolan_flight_server::dispatch::{Handler, Head, Messages, PutAnswer, Request, Upload};

use super::{Anyone, Handshake, anyone, endpoint, expire, info, messages, number, unexpected};

/// The state of an endpoint.
#[derive(Clone, Copy)]
struct State {
    expires: Option<SystemTime>,
    read: bool,
    cancelled: bool,
}

/// The endpoints of the last requested flight.
#[derive(Default)]
pub(super) struct Expiring {
    endpoints: Mutex<Vec<State>>,
}

/// Returns the index of the endpoint that a ticket names, which is the number at the start of the ticket.
fn index(ticket: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(ticket).map_err(|_| unexpected(ticket))?;
    let number = text.split_once(':').and_then(|(number, _)| number.parse().ok());
    number.ok_or_else(|| unexpected(text))
}

fn index_of(endpoint: &FlightEndpoint) -> Result<usize> {
    index(&endpoint.ticket.as_ref().ok_or_else(|| unexpected(endpoint))?.ticket)
}

#[tonic::async_trait]
impl Handler for Expiring {
    type Caller = Anyone;

    async fn identify(&self, head: &Head) -> Result<Anyone> {
        Ok(anyone(head))
    }

    async fn log_in(&self, _: &Head, _: Handshake) -> Result<String> {
        Err(unexpected("a login"))
    }

    async fn info(&self, _: &Anyone, request: Request, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let Request::Bytes(command) = request else { return Err(unexpected(request)) };
        if command != "expiration_time" {
            return Err(unexpected(command));
        }
        let now = SystemTime::now();
        let waits = [None, Some(5), Some(6)];
        let states = waits.map(|wait| State {
            expires: wait.map(|seconds| now + Duration::from_secs(seconds)),
            read: false,
            cancelled: false,
        });
        let endpoints = states.iter().zip(["0: No expiration time", "1: 5 seconds", "2: 6 seconds"]);
        let endpoints = endpoints.map(|(state, ticket)| {
            let mut endpoint = endpoint(ticket);
            if let Some(expires) = state.expires {
                expire(&mut endpoint, expires);
            }
            endpoint
        });
        let info = info(&number(DataType::UInt32), descriptor, endpoints.collect());
        *self.endpoints.lock().unwrap() = states.to_vec();
        Ok(info)
    }

    async fn poll(&self, _: &Anyone, request: Request, _: FlightDescriptor) -> Result<PollInfo> {
        Err(unexpected(request))
    }

    async fn schema(&self, _: &Anyone, request: Request) -> Result<SchemaRef> {
        Err(unexpected(request))
    }

    async fn fetch(&self, _: &Anyone, request: Request) -> Result<Messages> {
        let Request::Bytes(ticket) = request else { return Err(unexpected(request)) };
        let index = index(&ticket)?;
        let mut endpoints = self.endpoints.lock().unwrap();
        let state = endpoints.get_mut(index).ok_or_else(|| unexpected(&ticket))?;
        let gone = match state.expires {
            Some(expires) => expires < SystemTime::now(),
            None => state.read,
        };
        if gone || state.cancelled {
            return Err(unexpected(ticket));
        }
        state.read = true;
        let schema = number(DataType::UInt32);
        let numbers = UInt32Array::from(vec![u32::try_from(index).unwrap()]);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap();
        Ok(messages(schema, vec![batch]))
    }

    async fn put(&self, _: &Anyone, request: Request, _: Upload) -> Result<PutAnswer> {
        Err(unexpected(request))
    }

    fn actions(&self) -> Vec<ActionType> {
        let named = |name: &str| ActionType { r#type: name.to_owned(), description: String::new() };
        vec![named("CancelFlightInfo"), named("RenewFlightEndpoint")]
    }

    async fn cancel(&self, _: &Anyone, info: FlightInfo) -> Result<CancelStatus> {
        let mut endpoints = self.endpoints.lock().unwrap();
        let mut status = CancelStatus::Unspecified;
        for endpoint in &info.endpoint {
            let state = endpoints.get_mut(index_of(endpoint)?).ok_or_else(|| unexpected(endpoint))?;
            let before = std::mem::replace(&mut state.cancelled, true);
            status = match status {
                _ if before => CancelStatus::NotCancellable,
                CancelStatus::Unspecified => CancelStatus::Cancelled,
                other => other,
            };
        }
        Ok(status)
    }

    async fn renew(&self, _: &Anyone, mut endpoint: FlightEndpoint) -> Result<FlightEndpoint> {
        let expires = SystemTime::now() + Duration::from_secs(10);
        let index = index_of(&endpoint)?;
        let mut endpoints = self.endpoints.lock().unwrap();
        endpoints.get_mut(index).ok_or_else(|| unexpected(index))?.expires = Some(expires);
        expire(&mut endpoint, expires);
        Ok(endpoint)
    }
}
