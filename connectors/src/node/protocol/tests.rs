//! Tests of the bytes of a fragment. They are written by hand: other nodes read them, and they stay within a version of
//! the protocol.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::datatypes::Schema;

use super::*;
use crate::fragment::{Delegation, EncodedPlan};

#[test]
fn a_ticket_keeps_its_bytes() {
    let bytes =
        b"\x08\x03\x12\x0655.2.0\x1a\x01q\x20\x02\x28\xac\x02\x32\x04plan\x42\x02k1\x42\x00\x4a\x05a.b.c\x50\x01";
    let ticket = FragmentTicket {
        protocol: 3,
        datafusion: "55.2.0".to_owned(),
        query_id: "q".to_owned(),
        hops: 2,
        remaining_ms: 300,
        plan: b"plan"[..].into(),
        keys: vec![b"k1"[..].into(), Bytes::new()],
        identity: Some("a.b.c".to_owned()),
        measured: true,
    };
    assert_eq!(ticket.encode_to_vec(), bytes);
    assert_eq!(FragmentTicket::decode(&bytes[..]).unwrap(), ticket);
    assert_eq!(FragmentTicket::decode(&b"\x32\x04plan"[..]).unwrap().plan, Bytes::from_static(b"plan"));
}

#[test]
fn a_request_keeps_its_bytes() {
    let request = FragmentRequest {
        query_id: "q".to_owned(),
        delegation: Delegation { via: vec!["a".to_owned()], ..Delegation::of("ann") },
        encoded: EncodedPlan { plan: b"plan"[..].into(), keys: vec![b"k1"[..].into(), Bytes::new()] },
        schema: Arc::new(Schema::empty()),
        hops: 2,
        // Its time is over: nothing stands for 0 milliseconds.
        deadline: Instant::now(),
        measured: true,
    };
    let version = DATAFUSION_VERSION.as_bytes();
    let rest = &b"\x1a\x01q\x20\x02\x32\x04plan\x42\x02k1\x42\x00\x4a\x05a.b.c\x50\x01"[..];
    let ticket = [&b"\x08\x03\x12"[..], &[version.len() as u8][..], version, rest].concat();
    let url = &b"\x0a\x2etype.googleapis.com/portolan.v1.FragmentTicket\x12"[..];
    let expected = [url, &[ticket.len() as u8][..], ticket.as_slice()].concat();
    assert_eq!(FragmentTicket::bytes(&request, Some("a.b.c".to_owned())), expected);
}
