//! CSV whose quoted values have line breaks. DataFusion samples a file in pieces and expects whole records in each.
//! object_store's `newline_delimited_stream` cuts the pieces inside of quotes.

use std::fmt::Write;
use std::fs;

use portolan_tests::mesh::within;

use super::folders::Folders;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_of_several_reads_is_split_between_records() {
    within(300, async {
        let mut folders = Folders::new();
        let columns = [("i", "integer"), ("t", "string")];
        let east = folders.port("east", "e", "csv", &columns);
        let west = folders.port("west", "w", "csv", &columns);
        let long = folders.port("west", "long", "csv", &columns);
        let (a, b) = ("a".repeat(50), "b".repeat(50));
        let mut text = "i,t\n".to_owned();
        for i in 0..80 {
            writeln!(text, "{i},\"{a}\n{b}\"").unwrap();
        }
        fs::write(east.join("1.csv"), &text).unwrap();
        // Doubled quotes, quotes inside a value, line breaks of both kinds, and more records than a sample has.
        let mut text = "i,t\r\n".to_owned();
        for i in 0..3000 {
            match i % 4 {
                0 => write!(text, "{i},\"he said \"\"yes\"\"\r\n,no\"\r\n").unwrap(),
                1 => write!(text, "{i},5\" disk\r\n").unwrap(),
                2 => write!(text, "{i},\r\n\r\n").unwrap(),
                _ => write!(text, "{i},\"\n\n\"\"\n\"\r\n").unwrap(),
            }
        }
        fs::write(west.join("1.csv"), &text).unwrap();
        // Each value is longer than a read.
        let mut text = "i,t\n".to_owned();
        for i in 0..30 {
            writeln!(text, "{i},\"{}\"", "line\n".repeat(5000)).unwrap();
        }
        fs::write(long.join("1.csv"), &text).unwrap();
        let ways = folders.start().await.unwrap();

        ways.gives("SELECT count(*), sum(i), max(length(t)) FROM east.samples.e", &["80|3160|101"]).await;
        ways.gives("SELECT count(DISTINCT t), count(t) FROM east.samples.e", &["1|80"]).await;
        ways.gives("SELECT count(*), sum(i), count(t) FROM west.samples.w", &["3000|4498500|2250"]).await;
        let replaced = "replace(replace(t, chr(13), 'R'), chr(10), 'N')";
        ways.gives(
            &format!("SELECT i, {replaced} FROM west.samples.w WHERE i < 4"),
            &["0|he said \"yes\"RN,no", "1|5\" disk", "2|NULL", "3|NN\"N"],
        )
        .await;
        ways.gives("SELECT count(*), min(length(t)), max(length(t)) FROM west.samples.long", &["30|25000|25000"]).await;
        let sql =
            "SELECT e.i, w.i FROM east.samples.e JOIN west.samples.w ON e.i = w.i WHERE w.t LIKE '5%' AND e.i < 6";
        ways.gives(sql, &["1|1", "5|5"]).await;
        // A file that arrives later is sampled as well.
        fs::write(east.join("2.csv"), format!("i,t\n100,\"{}\"\n", "line\n".repeat(5000))).unwrap();
        ways.gives("SELECT count(*), max(i) FROM east.samples.e", &["81|100"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_quote_is_reported() {
    within(60, async {
        let mut folders = Folders::new();
        let east = folders.port("east", "e", "csv", &[("i", "integer"), ("t", "string")]);
        let rows: String = (0..400_000).map(|i| format!("{i},some text\n")).collect();
        fs::write(east.join("1.csv"), format!("\"i,t\n{rows}")).unwrap();
        let refused = folders.start().await.err().unwrap();
        assert!(refused.contains("1.csv") && refused.contains("expected a closing quote"), "{refused}");
    })
    .await;
}
