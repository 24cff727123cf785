//! The memory of the rows that a client or an embedding program receives: a buffer must not have the bytes of a hidden
//! row beside those of a visible one. A filter that keeps most rows passes the buffers of strings and dictionaries on as
//! they are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, DictionaryArray, Int64Array, ListArray, RecordBatch, StringViewArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Int32Type};
use portolan_engine::{Engine, Principal};
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh};
use portolan_tests::governance::outcomes::FlightSession;
use portolan_tests::governance::owners::{LocalMesh, domain};
use portolan_tests::governance::people::HiddenRows;
use portolan_tests::mesh::within;
use portolan_tests::ways::{lines, table};

const ROWS: i64 = 1000;
const POLICY: &str = r#"
permit(principal, action == Action::"read", resource is hr::samples::people)
when { resource has level && resource.level < 7 };
"#;
const QUERIES: &[&str] = &[
    "SELECT id, note FROM hr.samples.people",
    "SELECT id, kind FROM hr.samples.people",
    "SELECT note, kind FROM hr.samples.people WHERE id < 900",
    "SELECT max(note), kind FROM hr.samples.people GROUP BY kind",
    "SELECT note FROM hr.samples.people ORDER BY id LIMIT 500",
    "SELECT id, kinds FROM hr.samples.people",
    "SELECT id, both FROM hr.samples.people WHERE id < 900",
];

/// Returns rows of which 70 % are visible. The strings of hidden rows have a word of their own.
fn people() -> Vec<RecordBatch> {
    let batch = |first: i64| {
        let ids = first..first + ROWS / 4;
        let word = |id: i64| if id % 10 < 7 { "visible" } else { "concealed" };
        let note = |id: i64| format!("a long note of the {} person number {id}", word(id));
        let kind = |id: i64| format!("the kind of {} people, number {}", word(id), id % 20);
        let kinds: DictionaryArray<Int32Type> =
            ids.clone().map(kind).collect::<Vec<_>>().iter().map(String::as_str).collect();
        let kinds: ArrayRef = Arc::new(kinds);
        let item = Arc::new(Field::new_list_field(kinds.data_type().clone(), true));
        let one_each = OffsetBuffer::from_lengths(std::iter::repeat_n(1, kinds.len()));
        let notes: ArrayRef = Arc::new(StringViewArray::from_iter_values(ids.clone().map(note)));
        let part = |name: &str, values: &ArrayRef| Arc::new(Field::new(name, values.data_type().clone(), true));
        let both = vec![(part("kind", &kinds), kinds.clone()), (part("note", &notes), notes.clone())];
        table(vec![
            ("id", Arc::new(Int64Array::from_iter_values(ids.clone())) as ArrayRef),
            ("level", Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| id % 10)))),
            ("note", notes),
            ("kind", kinds.clone()),
            ("kinds", Arc::new(ListArray::new(item, one_each, kinds, None))),
            ("both", Arc::new(StructArray::from(both))),
        ])
    };
    (0..4).map(|i| batch(i * ROWS / 4)).collect()
}

/// True if a buffer of the rows has these bytes.
fn have(batches: &[RecordBatch], bytes: &str) -> bool {
    batches.iter().flat_map(RecordBatch::columns).any(|column| has(&column.to_data(), bytes.as_bytes()))
}

fn has(data: &ArrayData, bytes: &[u8]) -> bool {
    let in_buffer = |buffer: &arrow::buffer::Buffer| buffer.windows(bytes.len()).any(|window| window == bytes);
    data.buffers().iter().any(in_buffer) || data.child_data().iter().any(|child| has(child, bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedding_program_gets_no_bytes_of_hidden_rows() {
    within(120, async {
        let shop = domain(
            "shop",
            &[("orders", vec![table(vec![("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)])])],
            "",
        );
        let mesh = LocalMesh::start(domain("hr", &[("people", people())], POLICY), shop, 2).await;
        assert!(have(&people(), "concealed"), "the test finds bytes in buffers");
        for (name, engine) in [("at the owner", &mesh.hr), ("at the gateway", &mesh.gateway)] {
            for sql in QUERIES {
                let batches = rows(engine, sql).await;
                let text = lines(&batches).join("\n");
                assert!(text.contains("visible") && !text.contains("concealed"), "{name}: {sql}\n{text}");
                assert!(!have(&batches, "concealed"), "{name}: the buffers have bytes of hidden rows: {sql}");
            }
        }
    })
    .await;
}

async fn rows(engine: &Engine, sql: &str) -> Vec<RecordBatch> {
    engine.session(Principal::new("ann")).sql(sql).await.unwrap().collect().await.unwrap()
}

/// The notes of the hidden people name the department `b`. A client that accepts views gets the buffers of the strings.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_gets_no_bytes_of_hidden_rows() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        for (name, node) in [("at the owner", mesh.hr()), ("at the gateway", mesh.gateway())] {
            for views in ["off", "on"] {
                let mut session = FlightSession::login(node, ANALYST, &[("portolan.string_views", views)]).await;
                for sql in [
                    "SELECT id, note FROM hr.samples.people",
                    "SELECT note, ssn FROM hr.samples.people WHERE id < 3000",
                ] {
                    let (_, batches) = session.rows(sql).await.unwrap();
                    assert!(have(&batches, "in department a"), "{name}, views {views}: {sql}");
                    for secret in ["in department b", "003-33-1003"] {
                        assert!(!have(&batches, secret), "{name}, views {views}: the buffers have `{secret}`: {sql}");
                    }
                }
            }
        }
    })
    .await;
}
