//! Every value of the nasty tables comes back as it was stored.

use portolan_testbed::compare::{Order, compare};
use portolan_tests::beside_files::BesideFiles;
use portolan_tests::mesh::within;
use portolan_tests::servers::KINDS;
use portolan_tests::ways::UNPLACED;

use super::name;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_come_back_as_they_were_stored() {
    within(300, async {
        for kind in KINDS {
            let Some(beside) = BesideFiles::start(kind, &name(kind, "stored")).await else { continue };
            for table in beside.tables() {
                let expected = (&table.rows.schema(), &[table.rows.clone()][..]);
                for settings in [&[][..], UNPLACED] {
                    let what = format!("{kind:?}, {}, {settings:?}", table.name);
                    let sql = format!("SELECT * FROM @{}", table.name);
                    let (schema, batches) =
                        beside.run(&sql, settings).await.unwrap_or_else(|e| panic!("{what}: {}", e.owner_chain()));
                    compare(expected, (&schema, &batches), &Order::Any).unwrap_or_else(|e| panic!("{what}: {e}"));
                    // Each column by itself, in the other order of columns, and with a limit of all rows.
                    for field in table.rows.schema().fields() {
                        let column = field.name();
                        let sql = format!("SELECT {column}, id FROM @{} LIMIT 100000", table.name);
                        let (schema, batches) =
                            beside.run(&sql, settings).await.unwrap_or_else(|e| panic!("{what}: {}", e.owner_chain()));
                        let index = table.rows.schema().index_of(column).unwrap();
                        let columns = table.rows.project(&[index, 0]).unwrap();
                        compare((&columns.schema(), std::slice::from_ref(&columns)), (&schema, &batches), &Order::Any)
                            .unwrap_or_else(|e| panic!("{what}, {column}: {e}"));
                    }
                }
            }
        }
    })
    .await;
}
