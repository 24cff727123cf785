//! Columns of types that only one database has: their values as strings and lists, and conditions that a node evaluates
//! because the database orders and compares them in its own way.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use portolan_catalog::DatabaseKind;
use portolan_engine::Principal;
use portolan_tests::database_ports::{DatabasePort, config, open_node, write_ports};
use portolan_tests::mesh::within;
use portolan_tests::products::DOMAIN;
use portolan_tests::servers::TestDatabase;
use portolan_tests::ways::{self, UNPLACED, assert_lines};
use serde_json::json;

use super::name;

/// A query, and its rows.
type Case = (&'static str, &'static [&'static str]);

const POSTGRES: &[&str] = &[
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE DOMAIN percent AS numeric(5, 2) CHECK (value BETWEEN 0 AND 100)",
    "CREATE TABLE special (id bigint, key uuid, doc jsonb, host inet, feeling mood, share percent, code char(4), \
     name varchar(10), data bytea, tags text[], sizes bigint[], bits bit(4), free numeric)",
    "INSERT INTO special VALUES (1, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{\"b\": 1, \"a\": [true, null]}', '1.2.3.4', 'happy', \
     12.5, 'ab', 'Zoë', '\\x00ff', '{a,NULL,\"x y\"}', '{1,-2}', B'1010', 1.250)",
    "INSERT INTO special VALUES (2, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', '1', '10.0.0.0/8', 'sad', 100, '', '', '', '{}', NULL, \
     B'0000', -3)",
    "INSERT INTO special VALUES (3)",
];

const OF_POSTGRES: &[Case] = &[
    (
        "SELECT key, host, feeling FROM @",
        &[
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|1.2.3.4/32|happy",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12|10.0.0.0/8|sad",
            "NULL|NULL|NULL",
        ],
    ),
    ("SELECT share, free FROM @", &["12.50|1.250", "100.00|-3.000", "NULL|NULL"]),
    ("SELECT code, name, bits FROM @", &["ab|Zoë|1010", "||0000", "NULL|NULL|NULL"]),
    ("SELECT data FROM @", &["00ff", "", "NULL"]),
    ("SELECT tags, sizes FROM @", &["[a, NULL, x y]|[1, -2]", "[]|NULL", "NULL|NULL"]),
    ("SELECT doc FROM @ WHERE id = 1", &["{\"a\": [true, null], \"b\": 1}"]),
    // The order of an enum is that of its declaration, and the order of strings is that of their bytes.
    ("SELECT id FROM @ WHERE feeling > 'ok'", &["2"]),
    ("SELECT id FROM @ WHERE feeling = 'happy'", &["1"]),
    ("SELECT min(feeling), max(feeling) FROM @", &["happy|sad"]),
    ("SELECT id FROM @ WHERE feeling = 'no mood'", &[]),
    ("SELECT id FROM @ WHERE key = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", &["1"]),
    ("SELECT id FROM @ WHERE key = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", &[]),
    ("SELECT id FROM @ WHERE key = 'no uuid'", &[]),
    ("SELECT id FROM @ WHERE code = 'ab' OR code = 'ab  '", &["1"]),
    ("SELECT id FROM @ WHERE code LIKE 'ab'", &["1"]),
    ("SELECT id FROM @ WHERE host = '1.2.3.4/32'", &["1"]),
    ("SELECT id FROM @ WHERE host = '1.2.3.4'", &[]),
    ("SELECT id FROM @ WHERE share >= 12.5", &["1", "2"]),
    ("SELECT id FROM @ WHERE free = 1.25", &["1"]),
    ("SELECT count(DISTINCT feeling), count(DISTINCT key) FROM @", &["2|2"]),
];

const MARIADB: &[&str] = &[
    "CREATE TABLE special (id bigint, big bigint unsigned, whole int unsigned, feeling enum('sad', 'ok', 'happy'), doc json, \
     data varbinary(8), huge decimal(65, 30), code char(4), name varchar(10))",
    "INSERT INTO special VALUES (1, 18446744073709551615, 4294967295, 'happy', '{\"b\": 1}', x'00ff', \
     99999999999999999999999999999999999.999999999999999999999999999999, 'ab', 'a ')",
    "INSERT INTO special VALUES (2, 0, 0, 'sad', '1', x'', -1, '', 'A')",
    "INSERT INTO special (id) VALUES (3)",
];

const OF_MARIADB: &[Case] = &[
    ("SELECT big, whole FROM @", &["18446744073709551615|4294967295", "0|0", "NULL|NULL"]),
    (
        "SELECT huge FROM @",
        &[
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "-1.000000000000000000000000000000",
            "NULL",
        ],
    ),
    ("SELECT feeling, doc, data FROM @", &["happy|{\"b\": 1}|00ff", "sad|1|", "NULL|NULL|NULL"]),
    ("SELECT id FROM @ WHERE feeling > 'ok'", &["2"]),
    ("SELECT id FROM @ WHERE feeling = 'HAPPY'", &[]),
    ("SELECT min(feeling), max(feeling) FROM @", &["happy|sad"]),
    ("SELECT id FROM @ WHERE big > 9223372036854775807", &["1"]),
    ("SELECT max(big), min(whole) FROM @", &["18446744073709551615|0"]),
    ("SELECT id FROM @ WHERE name = 'a'", &[]),
    ("SELECT id FROM @ WHERE name = 'a '", &["1"]),
    ("SELECT id FROM @ WHERE name IN ('A', 'a')", &["2"]),
    ("SELECT count(DISTINCT name) FROM @", &["2"]),
    ("SELECT id FROM @ WHERE code = 'ab  '", &[]),
    ("SELECT id FROM @ WHERE code = 'ab'", &["1"]),
];

fn schema(kind: DatabaseKind) -> Schema {
    let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
    let columns = match kind {
        DatabaseKind::Postgres => vec![
            ("id", DataType::Int64),
            ("key", DataType::Utf8),
            ("doc", DataType::Utf8),
            ("host", DataType::Utf8),
            ("feeling", DataType::Utf8),
            ("share", DataType::Decimal128(5, 2)),
            ("code", DataType::Utf8),
            ("name", DataType::Utf8),
            ("data", DataType::Binary),
            ("tags", list(DataType::Utf8)),
            ("sizes", list(DataType::Int64)),
            ("bits", DataType::Utf8),
            ("free", DataType::Decimal128(20, 3)),
        ],
        _ => vec![
            ("id", DataType::Int64),
            ("big", DataType::UInt64),
            ("whole", DataType::UInt32),
            ("feeling", DataType::Utf8),
            ("doc", DataType::Utf8),
            ("data", DataType::Binary),
            ("huge", DataType::Decimal256(65, 30)),
            ("code", DataType::Utf8),
            ("name", DataType::Utf8),
        ],
    };
    Schema::new(columns.into_iter().map(|(name, of)| Field::new(name, of, true)).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_one_database_have_values_and_conditions() {
    within(120, async {
        for (kind, statements, cases) in
            [(DatabaseKind::Postgres, POSTGRES, OF_POSTGRES), (DatabaseKind::MariaDb, MARIADB, OF_MARIADB)]
        {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("node");
            let Some(database) = TestDatabase::create(kind, &name(kind, "special"), &home).await else { continue };
            database.execute(statements).await;
            write_ports(DOMAIN, &home, &database.server(), &[DatabasePort::table("special", &schema(kind))]);
            let node = open_node(&home, &config(DOMAIN, &database, &json!({}))).await;
            let node = node.unwrap_or_else(|e| panic!("{kind:?}: {}", e.owner_chain()));
            let mut failures = vec![];
            for settings in [&[][..], UNPLACED] {
                for (sql, expected) in cases {
                    let session = node.engine().session(Principal::anonymous());
                    for (name, value) in settings {
                        ways::rows(&session, &format!("SET {name} = {value}")).await.unwrap();
                    }
                    let sql = sql.replace('@', "lab.samples.special");
                    match ways::rows(&session, &sql).await {
                        Ok((_, batches)) => assert_lines(&format!("{kind:?}, {settings:?}"), &sql, &batches, expected),
                        Err(e) => failures.push(format!("{sql}: {}", e.owner_chain())),
                    }
                }
            }
            assert!(failures.is_empty(), "{kind:?}: {}", failures.join("\n"));
        }
    })
    .await;
}
