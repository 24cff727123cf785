//! Text values that do not fit the contract's type are read in full, or are an error. Arrow's readers truncate the
//! fraction of an integer in JSON, digits beyond the unit of a time, and the time of a date. They also read a bare
//! number as a time of an arbitrary unit.

use std::fmt::Write;
use std::fs;

use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;

use super::folders::Folders;

const INVALID: ErrorKind = ErrorKind::InvalidData;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fraction_in_an_integer_column_of_json_is_an_error() {
    within(300, async {
        let mut folders = Folders::new();
        let east = folders.port("east", "j", "json", &[("i", "integer"), ("k", "integer"), ("l", "array")]);
        let west = folders.port("west", "whole", "json", &[("i", "integer"), ("k", "integer"), ("l", "array")]);
        let mut text = String::new();
        for i in 0..1500 {
            writeln!(text, "{{\"i\":{i},\"k\":1,\"l\":[1,{i}]}}").unwrap();
        }
        fs::write(west.join("1.json"), text.clone() + "{\"i\":2000.0,\"k\":\"7\",\"l\":[]}\n{\"i\":3e3}\n").unwrap();
        fs::write(east.join("1.json"), text + "{\"i\":2.7,\"k\":2,\"l\":[0.5]}\n").unwrap();
        let ways = folders.start().await.unwrap();
        let says = ["east.samples.j", "1.json", "`i`", "line 1501", "expected an integer of 64 bits, got `2.7`"];
        ways.refuses("SELECT i FROM east.samples.j", INVALID, &says).await;
        ways.refuses("SELECT sum(i) FROM east.samples.j", INVALID, &says).await;
        ways.refuses("SELECT k FROM east.samples.j WHERE i = 2", INVALID, &says).await;
        let says = ["east.samples.j", "1.json", "`l`", "expected an integer of 64 bits, got `0.5`"];
        ways.refuses("SELECT k, l FROM east.samples.j", INVALID, &says).await;
        // Columns that the query does not read are not checked.
        ways.gives("SELECT sum(k) FROM east.samples.j", &["1502"]).await;
        ways.gives("SELECT sum(k), count(*), max(i) FROM west.samples.whole", &["1507|1502|3000"]).await;
        ways.gives(
            "SELECT i, k, l FROM west.samples.whole WHERE i > 1498",
            &["1499|1|[1, 1499]", "2000|7|[]", "3000|NULL|NULL"],
        )
        .await;
        fs::write(west.join("2.json"), "{\"i\":9007199254740993}\n{\"i\":9223372036854775807,\"k\":null}\n").unwrap();
        ways.gives("SELECT i FROM west.samples.whole WHERE i > 4000", &["9007199254740993", "9223372036854775807"])
            .await;
        fs::write(west.join("2.json"), "{\"i\":9223372036854775808}\n").unwrap();
        let says = ["west.samples.whole", "2.json", "`i`", "`9223372036854775808`"];
        ways.refuses("SELECT i FROM west.samples.whole", INVALID, &says).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn integral_floats_in_json_are_integers() {
    within(300, async {
        let mut folders = Folders::new();
        let east = folders.port("east", "j", "json", &[("i", "integer")]);
        let west = folders.port("west", "j", "json", &[("i", "integer")]);
        // pandas writes a column of integers with NULL like this.
        fs::write(east.join("1.json"), "{\"i\":1.0}\n{\"i\":null}\n{\"i\":3.0}\n").unwrap();
        fs::write(west.join("1.json"), "{\"i\":3}\n").unwrap();
        fs::write(west.join("2.json"), "{\"i\":9007199254740993.0}\n{\"i\":3e0}\n").unwrap();
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT i FROM east.samples.j", &["1", "NULL", "3"]).await;
        ways.gives("SELECT i, count(*) FROM west.samples.j GROUP BY i", &["3|2", "9007199254740993|1"]).await;
        ways.gives("SELECT sum(e.i) FROM east.samples.j AS e JOIN west.samples.j AS w USING (i)", &["6"]).await;
        for value in ["4503599627370497.25", "2.00000000000000001", "1e-400", "9223372036854775808.0"] {
            fs::write(east.join("2.json"), format!("{{\"i\":{value}}}\n")).unwrap();
            let says = ["east.samples.j", "2.json", "`i`", &format!("expected an integer of 64 bits, got `{value}`")];
            ways.refuses("SELECT i FROM east.samples.j", INVALID, &says).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_in_a_string_column_of_json_are_text() {
    within(300, async {
        let mut folders = Folders::new();
        let columns = [("code", "string"), ("n", "integer")];
        let east = folders.port("east", "j", "json", &columns);
        let west = folders.port("west", "j", "json", &columns[..1]);
        let text =
            "{\"code\":7,\"n\":1}\n{\"code\":\"007\",\"n\":2}\n{\"code\":1.50,\"n\":3}\n{\"code\":true}\n{\"n\":5}\n";
        fs::write(east.join("1.json"), text).unwrap();
        fs::write(west.join("1.json"), "{\"code\":7}\n{\"code\":8}\n").unwrap();
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT code FROM east.samples.j", &["7", "007", "1.50", "true", "NULL"]).await;
        ways.gives("SELECT n FROM east.samples.j WHERE code = '7'", &["1"]).await;
        ways.gives("SELECT e.n, w.code FROM east.samples.j AS e JOIN west.samples.j AS w USING (code)", &["1|7"]).await;
        ways.gives("SELECT max(code), count(code) FROM west.samples.j", &["8|2"]).await;
        fs::write(west.join("2.json"), "{\"code\":{\"a\":1}}\n").unwrap();
        ways.refuses("SELECT code FROM west.samples.j", INVALID, &["west.samples.j", "2.json", "code"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_key_of_a_late_row_is_found() {
    within(300, async {
        let mut folders = Folders::new();
        let columns = [("i", "integer"), ("late", "number"), ("later", "string")];
        let east = folders.port("east", "j", "json", &columns);
        let west = folders.port("west", "j", "json", &columns[..2]);
        let mut text = String::new();
        for i in 0..2500 {
            let more = if i == 1200 {
                ",\"late\":0.5"
            } else if i == 2400 {
                ",\"later\":\"x\""
            } else {
                ""
            };
            writeln!(text, "{{\"i\":{i}{more}}}").unwrap();
        }
        fs::write(east.join("1.json"), &text).unwrap();
        fs::write(west.join("1.json"), &text).unwrap();
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT count(late), sum(late), max(later), count(*) FROM east.samples.j", &["1|0.5|x|2500"]).await;
        ways.gives("SELECT i FROM west.samples.j WHERE late IS NOT NULL", &["1200"]).await;
        ways.gives(
            "SELECT e.later FROM east.samples.j AS e JOIN west.samples.j AS w USING (i) WHERE e.i = 2400",
            &["x"],
        )
        .await;
        // A key that no record has is probably misspelled.
        let mut folders = Folders::new();
        let data = folders.port("east", "j", "json", &[("i", "integer"), ("latr", "number")]);
        fs::write(data.join("1.json"), &text).unwrap();
        let refused = folders.start().await.err().unwrap();
        assert!(refused.contains("column `latr` is not in the source"), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_not_truncated() {
    within(300, async {
        let mut folders = Folders::new();
        let columns = [("at", "timestamp"), ("day", "date"), ("t", "time"), ("i", "integer")];
        let east = folders.port("east", "c", "csv", &columns);
        let west = folders.port("west", "j", "json", &columns);
        let csv = |at: &str, day: &str, t: &str| format!("at,day,t,i\n{at},{day},{t},1\n");
        let json = |at: &str, day: &str, t: &str| format!("{{\"at\":{at},\"day\":{day},\"t\":{t},\"i\":1}}\n");
        let fine = ["2024-01-02T03:04:05.123456", "2024-01-02", "03:04:05.123456"];
        let quoted = fine.map(|text| format!("\"{text}\""));
        fs::write(east.join("1.csv"), csv(fine[0], fine[1], fine[2])).unwrap();
        fs::write(west.join("1.json"), json(&quoted[0], &quoted[1], &quoted[2])).unwrap();
        let ways = folders.start().await.unwrap();
        for port in ["east.samples.c", "west.samples.j"] {
            let expected = "2024-01-02T03:04:05.123456|2024-01-02|03:04:05.123456|1";
            ways.gives(&format!("SELECT at, day, t, i FROM {port}"), &[expected]).await;
        }
        ways.gives("SELECT e.i FROM east.samples.c AS e JOIN west.samples.j AS w USING (at, day, t)", &["1"]).await;
        for (column, at, day, t) in [
            ("at", "2024-01-02T03:04:05.123456789", fine[1], fine[2]),
            ("day", fine[0], "2024-01-02T03:04:05", fine[2]),
            ("t", fine[0], fine[1], "03:04:05.123456789"),
        ] {
            fs::write(east.join("2.csv"), csv(at, day, t)).unwrap();
            let [at, day, t] = [at, day, t].map(|text| format!("\"{text}\""));
            fs::write(west.join("2.json"), json(&at, &day, &t)).unwrap();
            let column_name = format!("`{column}`");
            let says = ["east.samples.c", "2.csv", &column_name];
            ways.refuses(&format!("SELECT {column} FROM east.samples.c"), INVALID, &says).await;
            let says = ["west.samples.j", "2.json", &column_name];
            ways.refuses(&format!("SELECT {column} FROM west.samples.j"), INVALID, &says).await;
            ways.gives("SELECT sum(e.i) FROM east.samples.c AS e, west.samples.j AS w", &["4"]).await;
        }
        // The unit of a bare number is not known.
        fs::write(west.join("2.json"), json("1704164645", &quoted[1], &quoted[2])).unwrap();
        ways.refuses("SELECT at FROM west.samples.j", INVALID, &["2.json", "`at`", "`1704164645`"]).await;
        // A timestamp at midnight is a date.
        fs::write(east.join("2.csv"), csv(fine[0], "2024-01-03T00:00:00", fine[2])).unwrap();
        ways.gives("SELECT day FROM east.samples.c", &["2024-01-02", "2024-01-03"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timestamps_without_a_logical_type_are_not_truncated() {
    within(300, async {
        let mut folders = Folders::new();
        // Neither contract names a type for `t`.
        let east = folders.port("east", "c", "csv", &[("t", ""), ("i", "integer")]);
        let west = folders.port("west", "n", "csv", &[("t", ""), ("i", "integer")]);
        let mut text = "t,i\n".to_owned();
        for i in 0..1000 {
            writeln!(text, "2024-01-01T00:00:00,{i}").unwrap();
        }
        // The sample has whole seconds. The next record has six digits after the second.
        fs::write(east.join("1.csv"), text + "2024-01-01T00:00:00.500001,1000\n").unwrap();
        // Whole seconds in one file, and milliseconds in another.
        fs::write(east.join("2.csv"), "t,i\n2024-01-01T00:00:00.123,1001\n").unwrap();
        let fine = "2024-01-01T00:00:00.123456789";
        fs::write(west.join("1.csv"), format!("t,i\n{fine},1\n,2\n")).unwrap();
        let ways = folders.start().await.unwrap();
        let at = "TIMESTAMP '2024-01-01 00:00:00";
        ways.gives(&format!("SELECT count(*) FROM east.samples.c WHERE t = {at}'"), &["1000"]).await;
        ways.gives(
            &format!("SELECT i, t FROM east.samples.c WHERE t > {at}'"),
            &["1000|2024-01-01T00:00:00.500001", "1001|2024-01-01T00:00:00.123"],
        )
        .await;
        ways.gives("SELECT t, i FROM west.samples.n", &[format!("{fine}|1").as_str(), "NULL|2"]).await;
        for (port, folder, value) in [
            // A seventh digit after the second, in microseconds.
            ("east.samples.c", &east, "2024-01-01T00:00:00.1234567"),
            // A tenth digit, and a year that nanoseconds do not hold.
            ("west.samples.n", &west, "2024-01-01T00:00:00.1234567891"),
            ("west.samples.n", &west, "9999-12-31T00:00:00"),
        ] {
            fs::write(folder.join("3.csv"), format!("t,i\n{value},3000\n")).unwrap();
            let says = [port, "3.csv", "`t`", value];
            ways.refuses(&format!("SELECT t FROM {port}"), INVALID, &says).await;
            ways.gives(&format!("SELECT count(*) FROM {port} WHERE i = 3000"), &["1"]).await;
            fs::remove_file(folder.join("3.csv")).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_errors_name_the_column() {
    within(300, async {
        let mut folders = Folders::new();
        let columns = [("price", "integer"), ("ok", "boolean"), ("n", "number")];
        let east = folders.port("east", "c", "csv", &columns);
        let twice = folders.port("west", "twice", "csv", &columns);
        fs::write(east.join("1.csv"), "more,n,price,ok\na,1.5,1,true\n").unwrap();
        // Columns that the contract does not declare may share a name.
        fs::write(twice.join("1.csv"), "x,n,price,x,ok,x\na,1.5,1,b,true,c\n").unwrap();
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT * FROM west.samples.twice", &["1|true|1.5"]).await;
        ways.gives("SELECT w.n FROM west.samples.twice AS w JOIN east.samples.c USING (price)", &["1.5"]).await;
        for (row, column, value) in
            [("a,1,2.7,true", "price", "2.7"), ("a,1,2,maybe", "ok", "maybe"), ("a,x,2,true", "n", "x")]
        {
            fs::write(east.join("2.csv"), format!("more,n,price,ok\n{row}\n")).unwrap();
            let named = format!("`{column}`");
            let says = ["east.samples.c", "2.csv", &named, value];
            ways.refuses(&format!("SELECT {column} FROM east.samples.c"), INVALID, &says).await;
        }
        let mut folders = Folders::new();
        let east = folders.port("east", "c", "csv", &columns);
        fs::write(east.join("1.csv"), "n,price,ok,n\n1,2,true,3\n").unwrap();
        let refused = folders.start().await.err().unwrap();
        assert!(refused.contains("more than one column `n`"), "{refused}");
    })
    .await;
}
