//! The description of the Flight service for gRPC reflection, so that generic tools can call the service.
//! `arrow-flight` contains the generated code but not the description (`Flight.proto`), which this file repeats.

use portolan_engine::{Error, ErrorKind, Result};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

const PACKAGE: &str = "arrow.flight.protocol";
const TIMESTAMP: &str = ".google.protobuf.Timestamp";

/// A field: its name, its number and its type.
type FieldOf = (&'static str, i32, Holds);

#[derive(Clone, Copy)]
enum Holds {
    Bool,
    Bytes,
    Int64,
    Uint64,
    Text,
    Texts,
    /// A message of the package.
    One(&'static str),
    /// Messages of the package.
    Many(&'static str),
    Moment,
    /// An enumeration of [`ENUMS`] within the message itself.
    Choice(&'static str),
    Double,
}

const MESSAGES: &[(&str, &[FieldOf])] = &[
    ("HandshakeRequest", &[("protocol_version", 1, Holds::Uint64), ("payload", 2, Holds::Bytes)]),
    ("HandshakeResponse", &[("protocol_version", 1, Holds::Uint64), ("payload", 2, Holds::Bytes)]),
    ("BasicAuth", &[("username", 2, Holds::Text), ("password", 3, Holds::Text)]),
    ("Empty", &[]),
    ("ActionType", &[("type", 1, Holds::Text), ("description", 2, Holds::Text)]),
    ("Criteria", &[("expression", 1, Holds::Bytes)]),
    ("Action", &[("type", 1, Holds::Text), ("body", 2, Holds::Bytes)]),
    ("Result", &[("body", 1, Holds::Bytes)]),
    ("SchemaResult", &[("schema", 1, Holds::Bytes)]),
    (
        "FlightDescriptor",
        &[("type", 1, Holds::Choice("DescriptorType")), ("cmd", 2, Holds::Bytes), ("path", 3, Holds::Texts)],
    ),
    (
        "FlightInfo",
        &[
            ("schema", 1, Holds::Bytes),
            ("flight_descriptor", 2, Holds::One("FlightDescriptor")),
            ("endpoint", 3, Holds::Many("FlightEndpoint")),
            ("total_records", 4, Holds::Int64),
            ("total_bytes", 5, Holds::Int64),
            ("ordered", 6, Holds::Bool),
            ("app_metadata", 7, Holds::Bytes),
        ],
    ),
    (
        "PollInfo",
        &[
            ("info", 1, Holds::One("FlightInfo")),
            ("flight_descriptor", 2, Holds::One("FlightDescriptor")),
            // The field is optional in the protocol. Readers see a double.
            ("progress", 3, Holds::Double),
            ("expiration_time", 4, Holds::Moment),
        ],
    ),
    (
        "FlightEndpoint",
        &[
            ("ticket", 1, Holds::One("Ticket")),
            ("location", 2, Holds::Many("Location")),
            ("expiration_time", 3, Holds::Moment),
            ("app_metadata", 4, Holds::Bytes),
        ],
    ),
    ("Location", &[("uri", 1, Holds::Text)]),
    ("Ticket", &[("ticket", 1, Holds::Bytes)]),
    (
        "FlightData",
        &[
            ("flight_descriptor", 1, Holds::One("FlightDescriptor")),
            ("data_header", 2, Holds::Bytes),
            ("app_metadata", 3, Holds::Bytes),
            ("data_body", 1000, Holds::Bytes),
        ],
    ),
    ("PutResult", &[("app_metadata", 1, Holds::Bytes)]),
];

/// The enumerations, by the message that contains them.
const ENUMS: &[(&str, &str, &[&str])] = &[("FlightDescriptor", "DescriptorType", &["UNKNOWN", "PATH", "CMD"])];

/// The input or output of a method: a message of the package, and whether it is a stream.
type Passed = (&'static str, bool);

/// The methods: name, input and output.
const METHODS: &[(&str, Passed, Passed)] = &[
    ("Handshake", ("HandshakeRequest", true), ("HandshakeResponse", true)),
    ("ListFlights", ("Criteria", false), ("FlightInfo", true)),
    ("GetFlightInfo", ("FlightDescriptor", false), ("FlightInfo", false)),
    ("PollFlightInfo", ("FlightDescriptor", false), ("PollInfo", false)),
    ("GetSchema", ("FlightDescriptor", false), ("SchemaResult", false)),
    ("DoGet", ("Ticket", false), ("FlightData", true)),
    ("DoPut", ("FlightData", true), ("PutResult", true)),
    ("DoExchange", ("FlightData", true), ("FlightData", true)),
    ("DoAction", ("Action", false), ("Result", true)),
    ("ListActions", ("Empty", false), ("ActionType", true)),
];

/// Returns the reflection service, which describes Flight, health and itself.
///
/// # Errors
/// `Internal` if the description is inconsistent.
pub(crate) fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>> {
    Builder::configure()
        .register_file_descriptor_set(FileDescriptorSet { file: vec![timestamp(), flight()] })
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::new(ErrorKind::Internal, "the description of the service is inconsistent").with_source(e))
}

fn flight() -> FileDescriptorProto {
    let service = ServiceDescriptorProto {
        name: Some("FlightService".to_owned()),
        method: METHODS.iter().map(method).collect(),
        ..ServiceDescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("Flight.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        dependency: vec!["google/protobuf/timestamp.proto".to_owned()],
        message_type: MESSAGES.iter().map(|(name, fields)| message(name, fields)).collect(),
        service: vec![service],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn timestamp() -> FileDescriptorProto {
    let number = |name: &str, number, kind| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional as i32),
        r#type: Some(kind as i32),
        ..FieldDescriptorProto::default()
    };
    let message = DescriptorProto {
        name: Some("Timestamp".to_owned()),
        field: vec![number("seconds", 1, Type::Int64), number("nanos", 2, Type::Int32)],
        ..DescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("google/protobuf/timestamp.proto".to_owned()),
        package: Some("google.protobuf".to_owned()),
        message_type: vec![message],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn method((name, takes, gives): &(&str, Passed, Passed)) -> MethodDescriptorProto {
    MethodDescriptorProto {
        name: Some((*name).to_owned()),
        input_type: Some(full_name(takes.0)),
        output_type: Some(full_name(gives.0)),
        client_streaming: Some(takes.1),
        server_streaming: Some(gives.1),
        ..MethodDescriptorProto::default()
    }
}

fn message(name: &str, fields: &[FieldOf]) -> DescriptorProto {
    let enums = ENUMS.iter().filter(|(message, ..)| *message == name);
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields.iter().map(|(field_name, number, holds)| field(name, field_name, *number, *holds)).collect(),
        enum_type: enums.map(|(_, name, values)| enumeration(name, values)).collect(),
        ..DescriptorProto::default()
    }
}

fn enumeration(name: &str, values: &[&str]) -> EnumDescriptorProto {
    let value = |(number, name): (i32, &&str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    EnumDescriptorProto {
        name: Some(name.to_owned()),
        value: (0..).zip(values).map(value).collect(),
        ..EnumDescriptorProto::default()
    }
}

fn field(message: &str, name: &str, number: i32, holds: Holds) -> FieldDescriptorProto {
    let (kind, type_name) = match holds {
        Holds::Bool => (Type::Bool, None),
        Holds::Bytes => (Type::Bytes, None),
        Holds::Int64 => (Type::Int64, None),
        Holds::Uint64 => (Type::Uint64, None),
        Holds::Double => (Type::Double, None),
        Holds::Text | Holds::Texts => (Type::String, None),
        Holds::One(of) | Holds::Many(of) => (Type::Message, Some(full_name(of))),
        Holds::Moment => (Type::Message, Some(TIMESTAMP.to_owned())),
        Holds::Choice(of) => (Type::Enum, Some(full_name(&format!("{message}.{of}")))),
    };
    let label = match holds {
        Holds::Texts | Holds::Many(_) => Label::Repeated,
        _ => Label::Optional,
    };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label as i32),
        r#type: Some(kind as i32),
        type_name,
        ..FieldDescriptorProto::default()
    }
}

fn full_name(of: &str) -> String {
    format!(".{PACKAGE}.{of}")
}
