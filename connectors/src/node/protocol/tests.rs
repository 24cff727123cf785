//! Tests of the encoding of a fragment. The expected bytes are written by hand: other nodes read them, so they must not
//! change within a version of the protocol.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::datatypes::Schema;
use portolan_catalog::PortRef;

use super::*;
use crate::decisions::DecidedAction;
use crate::fragment::FragmentPlan;

fn ticket() -> FragmentTicket {
    FragmentTicket {
        protocol: 6,
        datafusion: "55.2.0".to_owned(),
        query_id: "q".to_owned(),
        hops: 2,
        remaining_ms: 300,
        plan: b"plan"[..].into(),
        keys: vec![b"k1"[..].into(), Bytes::new()],
        identity: Some("a.b.c".to_owned()),
        measured: true,
        checksum: 0x0807_0605_0403_0201,
        plain_columns: true,
    }
}

#[test]
fn a_ticket_keeps_its_bytes() {
    let bytes =
        b"\x08\x06\x12\x0655.2.0\x1a\x01q\x20\x02\x28\xac\x02\x32\x04plan\x42\x02k1\x42\x00\x4a\x05a.b.c\x50\x01\
          \x59\x01\x02\x03\x04\x05\x06\x07\x08\x60\x01";
    assert_eq!(ticket().encode_to_vec(), bytes);
    assert_eq!(FragmentTicket::decode(&bytes[..]).unwrap(), ticket());
    assert_eq!(FragmentTicket::decode(&b"\x32\x04plan"[..]).unwrap().plan, Bytes::from_static(b"plan"));
}

#[test]
fn a_request_keeps_its_bytes() {
    let ann = Principal::new("ann").with_groups(["analysts"]).with_admin(true);
    let request = FragmentRequest {
        // The deadline has passed: 0 milliseconds are encoded as no field.
        head: FragmentHead {
            via: vec!["a".to_owned()],
            hops: 2,
            measured: true,
            relayed: Some(RelayedColumns::Plain),
            ..FragmentHead::new("q", ann, Instant::now())
        },
        plan: FragmentPlan::Encoded(EncodedPlan {
            plan: b"plan"[..].into(),
            keys: vec![b"k1"[..].into(), Bytes::new()],
        }),
        schema: Arc::new(Schema::empty()),
    };
    let version = DATAFUSION_VERSION.as_bytes();
    let rest = &b"\x1a\x01q\x20\x02\x32\x04plan\x42\x02k1\x42\x00\x4a\x05a.b.c\x50\x01\x59"[..];
    let sealed = FragmentTicket { datafusion: DATAFUSION_VERSION.to_owned(), remaining_ms: 0, ..ticket() }.sealed();
    let checksum = sealed.checksum.to_le_bytes();
    let end = &b"\x60\x01"[..];
    let ticket = [&b"\x08\x06\x12"[..], &[version.len() as u8][..], version, rest, &checksum[..], end].concat();
    let url = &b"\x0a\x2etype.googleapis.com/portolan.v1.FragmentTicket\x12"[..];
    let expected = [url, &[ticket.len() as u8][..], ticket.as_slice()].concat();
    assert_eq!(FragmentTicket::bytes(&request, Some("a.b.c".to_owned())).unwrap(), expected);
}

#[test]
fn a_ticket_becomes_a_fragment_of_whom_its_receiver_names() {
    let (ann, via) = (Principal::new("ann").with_groups(["analysts"]), vec!["gateway".to_owned()]);
    let trace = TraceContext::start();
    for (remaining_ms, least) in [(0, 0), (60_000, 60_000), (u64::MAX, 60_000)] {
        let before = Instant::now();
        let sent = FragmentTicket { remaining_ms, ..ticket() };
        let fragment =
            sent.into_fragment(ann.clone().with_admin(true), Some("audit".to_owned()), via.clone(), trace.clone());
        let ReceivedFragment { head, encoded, node_keys } = fragment;
        assert!(node_keys.is_empty());
        assert_eq!((&head.principal, &head.via), (&ann, &via), "a ticket never makes an administrator");
        assert_eq!(head.purpose.as_deref(), Some("audit"));
        assert_eq!((head.query_id.as_str(), head.hops, head.measured), ("q", 2, true));
        assert_eq!((head.relayed, &head.trace), (Some(RelayedColumns::Plain), &trace));
        assert!(head.deadline >= before + Duration::from_millis(least), "{remaining_ms}");
        assert_eq!(encoded, EncodedPlan { plan: ticket().plan, keys: ticket().keys });
    }
}

#[test]
fn a_changed_field_is_damage() {
    let sealed = ticket().sealed();
    sealed.check().unwrap();
    let changes: [fn(&mut FragmentTicket); 14] = [
        |t| t.protocol = 7,
        |t| t.datafusion.push('1'),
        |t| t.query_id.push('1'),
        |t| t.hops = 3,
        |t| t.remaining_ms = 301,
        |t| t.plan = b"plaN"[..].into(),
        |t| t.keys[0] = b"k2"[..].into(),
        |t| t.keys.swap(0, 1),
        |t| t.keys.truncate(1),
        |t| t.identity = None,
        |t| t.identity = Some("a.b.d".to_owned()),
        |t| t.measured = false,
        |t| t.plain_columns = false,
        |t| t.checksum = 0,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = sealed.clone();
        change(&mut changed);
        let error = changed.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        assert!(error.context().starts_with("the fragment was damaged on the way"), "change {number}");
    }
}

#[test]
fn ids_of_queries_are_restricted() {
    let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
    assert!(is_query_id(id) && is_query_id("q") && is_query_id(&"x".repeat(128)));
    for bad in ["", "a b", "a\nb", "\u{1b}", "ü", &"x".repeat(129)] {
        assert!(!is_query_id(bad), "{bad:?}");
    }
}

#[test]
fn requests_for_decisions_are_no_plans() {
    let ports = vec![PortRef::new("sales", "orders", "orders")];
    let asked = DecisionRequest { action: DecidedAction::Describe, ports };
    let bytes = decision_request(&asked).unwrap();
    let expected = b"portolan decisions\0{\"action\":\"describe\",\"ports\":[".as_slice();
    assert!(bytes.starts_with(expected), "{bytes:?}");
    assert_eq!(read_decision_request(&bytes).unwrap(), asked);
    for other in [&bytes[1..], b"portolan decisions\0", b"portolan decisions\0{}", b""] {
        assert_eq!(read_decision_request(other).unwrap_err().kind(), ErrorKind::InvalidQuery);
    }
    let answer = br#"[{"port":{"domain":"a","product":"b","port":"c"},"is_permitted":true,"parts":[],
        "policy_version":null,"valid_until":null,"new":1}]"#;
    let decisions = read_decisions(answer).unwrap();
    assert!(decisions[0].is_permitted && decisions[0].port == PortRef::new("a", "b", "c"));
    assert_eq!(read_decisions(b"{}").unwrap_err().kind(), ErrorKind::SiteUnavailable);
}
