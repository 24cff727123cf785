//! `SIMILAR TO` matches whole strings by SQL's patterns. `LIKE` accepts any escape character. A backslash in a regular
//! expression keeps its meaning.

use std::sync::Arc;

use arrow::array::StringArray;
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_match_as_in_sql() {
    within(600, async {
        let east = table(vec![
            ("n", Arc::new(StringArray::from(vec!["1", "2", "3", "4", "5", "6"]))),
            (
                "s",
                Arc::new(StringArray::from(vec![Some("ab"), Some("xay"), Some("10%"), Some(r"a\b"), Some(""), None])),
            ),
        ]);
        let west = table(vec![
            ("n", Arc::new(StringArray::from(vec!["1", "2", "3", "4", "5", "6"]))),
            ("p", Arc::new(StringArray::from(vec![Some("a%"), Some("a"), Some("10!%"), Some("a_b"), None, Some("%")]))),
        ]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let where_s = |condition: &str| format!("SELECT n FROM east.samples.a WHERE s {condition}");
        let joined = |condition: &str| {
            format!("SELECT a.n FROM east.samples.a AS a JOIN west.samples.b AS b ON a.n = b.n WHERE {condition}")
        };

        ways.gives("SELECT 'xay' SIMILAR TO 'a', 'ab' SIMILAR TO 'a%'", &["false|true"]).await;
        ways.gives(&where_s("SIMILAR TO 'a'"), &[]).await;
        ways.gives(&where_s("SIMILAR TO 'a%'"), &["1", "4"]).await;
        ways.gives(&where_s("NOT SIMILAR TO 'a%'"), &["2", "3", "5"]).await;
        ways.gives(&where_s("SIMILAR TO '(a|x)[a-c]y?'"), &["1", "2"]).await;
        ways.gives(&where_s(r"SIMILAR TO '_0\%'"), &["3"]).await;
        ways.gives(&where_s("SIMILAR TO '_0!%' ESCAPE '!'"), &["3"]).await;
        ways.gives(&where_s(r"SIMILAR TO 'a\\b|%{3,3}z'"), &["4"]).await;
        ways.gives(&where_s("SIMILAR TO ''"), &["5"]).await;
        ways.gives(
            "SELECT 'abc' SIMILAR TO 'a.c', 'a.c' SIMILAR TO 'a.c', '^a$' SIMILAR TO '^a$', 'a' SIMILAR TO '^a$'",
            &["false|true|true|false"],
        )
        .await;
        ways.gives(
            "SELECT 'aab' SIMILAR TO 'a{2}b', 'ab' SIMILAR TO '(ab|c)+', 'a' || chr(10) || 'b' SIMILAR TO 'a_b'",
            &["true|true|true"],
        )
        .await;
        ways.gives("SELECT NULL SIMILAR TO 'a', 'a' SIMILAR TO NULL, 'a' SIMILAR TO NULL IS NULL", &["NULL|NULL|true"])
            .await;
        ways.gives(&joined("s SIMILAR TO p"), &["1", "4"]).await;
        ways.gives(&joined("s SIMILAR TO p ESCAPE '!'"), &["1", "3", "4"]).await;
        ways.gives(&joined("s LIKE p ESCAPE '!'"), &["1", "3", "4"]).await;
        ways.gives(&joined("s NOT LIKE p ESCAPE '!'"), &["2"]).await;
        ways.gives(&where_s("LIKE '%!%' ESCAPE '!'"), &["3"]).await;
        ways.gives(&where_s("ILIKE 'X!A_' ESCAPE '!'"), &["2"]).await;
        ways.gives(&where_s(r"LIKE 'a\b' ESCAPE '!'"), &["4"]).await;
        ways.gives(&where_s(r"LIKE 'a\b' ESCAPE ''"), &["4"]).await;
        ways.gives("SELECT 'éa' LIKE 'ééa' ESCAPE 'é', 'x' LIKE 'x' ESCAPE NULL", &["true|NULL"]).await;
        ways.gives(&where_s(r"~ 'a\\b'"), &["4"]).await;
        ways.gives(&where_s(r"!~ 'a\\b'"), &["1", "2", "3", "5"]).await;
        ways.gives(r"SELECT n FROM east.samples.a WHERE regexp_like(s, 'a\\b')", &["4"]).await;
        ways.gives("SELECT n FROM east.samples.a WHERE (s ~ '.*') IS NULL", &["6"]).await;

        for (sql, says) in [
            (where_s("SIMILAR TO '*a'"), "repeats nothing"),
            (where_s("SIMILAR TO '(a'"), "is not closed"),
            (where_s("LIKE 'a!' ESCAPE '!'"), "ends in its escape character"),
            (where_s(r"LIKE 'a\'"), "ends in its escape character"),
            (where_s("LIKE 'a' ESCAPE '!!'"), "one character"),
            (joined("s SIMILAR TO p || '('"), "is not closed"),
        ] {
            ways.refuses(&sql, ErrorKind::InvalidQuery, &[says]).await;
        }
    })
    .await;
}
