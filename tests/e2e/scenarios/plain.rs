//! `middleware`, `ordered`, `location:reuse_connection`, `poll_flight_info` and `app_metadata_flight_info_endpoint`:
//! Flight without SQL, whose commands are words.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::Int32Array;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo};
use portolan_flight_server::Result;
use portolan_flight_server::dispatch::{Handler, Head, Messages, PutAnswer, Request, Upload};

use super::{Anyone, Handshake, endpoint, expire, info, messages, number, unexpected};

const ECHOED: &str = "x-middleware";

/// A handler that answers each command as its scenario expects, with the header of the request.
pub(super) struct Plain;

#[tonic::async_trait]
impl Handler for Plain {
    type Caller = Anyone;

    async fn identify(&self, head: &Head) -> Result<Anyone> {
        Ok(Anyone { header: head.headers.get(ECHOED).map(|value| (ECHOED, value.clone())) })
    }

    async fn log_in(&self, _: &Head, _: Handshake) -> Result<String> {
        Err(unexpected("a login"))
    }

    async fn info(&self, _: &Anyone, request: Request, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let Request::Bytes(command) = request else { return Err(unexpected(request)) };
        Ok(match command.as_ref() {
            b"success" => {
                info(&Schema::empty(), descriptor, vec![endpoint("foo").with_location("grpc+tcp://localhost:1")])
            }
            b"ordered" => {
                let endpoints = ["1", "2", "3"].map(endpoint).to_vec();
                info(&number(DataType::Int32), descriptor, endpoints).with_ordered(true)
            }
            b"reuse" => {
                let endpoint = endpoint("reuse").with_location("arrow-flight-reuse-connection://?");
                info(&Schema::empty(), descriptor, vec![endpoint])
            }
            b"foobar" => {
                let endpoint = FlightEndpoint::new().with_app_metadata(command.clone());
                info(&number(DataType::UInt32), descriptor, vec![endpoint]).with_app_metadata(command)
            }
            _ => return Err(unexpected(command)),
        })
    }

    async fn poll(&self, _: &Anyone, request: Request, descriptor: FlightDescriptor) -> Result<PollInfo> {
        let Request::Bytes(command) = request else { return Err(unexpected(request)) };
        let info = info(&number(DataType::UInt32), descriptor, vec![endpoint("long-running query")]);
        let poll = PollInfo::new().with_info(info);
        Ok(match command.as_ref() {
            b"heavy query" => {
                let expires = SystemTime::now() + Duration::from_secs(10);
                let mut endpoint = endpoint("");
                expire(&mut endpoint, expires);
                let again = poll.with_descriptor(FlightDescriptor::new_cmd("poll")).try_with_progress(0.1).unwrap();
                PollInfo { expiration_time: endpoint.expiration_time, ..again }
            }
            b"poll" => poll.try_with_progress(1.0).unwrap(),
            _ => return Err(unexpected(command)),
        })
    }

    async fn schema(&self, _: &Anyone, request: Request) -> Result<SchemaRef> {
        Err(unexpected(request))
    }

    async fn fetch(&self, _: &Anyone, request: Request) -> Result<Messages> {
        let Request::Bytes(ticket) = request else { return Err(unexpected(request)) };
        let factor = match ticket.as_ref() {
            b"1" => 1,
            b"2" => 10,
            b"3" => 100,
            _ => return Err(unexpected(ticket)),
        };
        let schema = number(DataType::Int32);
        let numbers = Int32Array::from_iter_values([1, 2, 3].map(|n| n * factor));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap();
        Ok(messages(schema, vec![batch]))
    }

    async fn put(&self, _: &Anyone, request: Request, _: Upload) -> Result<PutAnswer> {
        Err(unexpected(request))
    }
}
