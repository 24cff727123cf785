#![allow(clippy::unwrap_used)]

use super::*;

fn names() -> Names {
    let columns = |names: &[&str]| names.iter().map(|n| ((*n).to_string(), "Int64".to_string())).collect();
    let orders = BTreeMap::from([
        ("lineitem".to_string(), columns(&["l_orderkey", "l_tax"])),
        ("orders".to_string(), columns(&["o_orderkey", "Odd name"])),
    ]);
    let sales = BTreeMap::from([("orders".to_string(), orders)]);
    let own = BTreeMap::from([
        ("mesh".to_string(), BTreeMap::from([("nodes".to_string(), columns(&["url"]))])),
        ("session".to_string(), BTreeMap::from([("mine".to_string(), columns(&["note"]))])),
    ]);
    Names {
        catalogs: BTreeMap::from([("sales".to_string(), sales), ("portolan".to_string(), own)]),
        functions: ["sum".to_string()].into(),
        current: [None, None],
    }
}

fn check(text: &str, expected: &[&str]) {
    check_in(&names(), text, expected);
}

fn check_in(names: &Names, text: &str, expected: &[&str]) {
    let pos = text.find('|').unwrap_or(text.len());
    let found = suggest(names, &text.replace('|', ""), pos);
    let values: Vec<_> = found.iter().map(|s| s.value.as_str()).collect();
    for one in expected {
        assert!(values.contains(one), "{text}: {values:?}");
    }
    assert_eq!(values.is_empty(), expected.is_empty(), "{text}: {values:?}");
}

#[test]
fn names_complete_part_by_part() {
    check("SELECT * FROM sal", &["sales"]);
    check("SELECT * FROM sales.", &["orders"]);
    check("SELECT * FROM sales.orders.", &["lineitem", "orders"]);
    check("SELECT * FROM sales.orders.li", &["lineitem"]);
    check("SELECT * FROM supply.", &[]);
}

#[test]
fn names_complete_without_the_parts_that_may_be_missing() {
    check("SELECT * FROM mes", &["mesh"]);
    check("SELECT * FROM mesh.", &["nodes"]);
    check("SELECT * FROM portolan.", &["mesh", "session"]);
    check("SELECT * FROM mi", &["mine"]);
    check("SELECT * FROM session.", &["mine"]);
    check("SELECT no| FROM mine", &["note"]);
    check("SELECT ur| FROM mesh.nodes", &["url"]);
    check("SELECT * FROM orders.", &[]);
    let here = Names { current: [Some("sales".into()), None], ..names() };
    check_in(&here, "SELECT * FROM ord", &["orders"]);
    check_in(&here, "SELECT * FROM orders.", &["lineitem", "orders"]);
    check_in(&here, "SELECT l_| FROM orders.lineitem", &["l_tax"]);
    check_in(&here, "SELECT * FROM nod", &["nodes"]);
    check_in(&here, "SELECT * FROM mesh.", &["nodes"]);
    check_in(&here, "SELECT * FROM session.", &[]);
    let there = Names { current: [Some("sales".into()), Some("orders".into())], ..names() };
    check_in(&there, "SELECT * FROM li", &["lineitem"]);
}

#[test]
fn tables_complete_with_the_domain_and_the_product() {
    let found =
        |text: &str| suggest(&names(), text, text.len()).into_iter().map(|found| found.value).collect::<Vec<_>>();
    assert_eq!(found("SELECT * FROM lin")[0], "sales.orders.lineitem");
    assert_eq!(found("select 1 from x join Line"), ["sales.orders.lineitem"]);
    assert_eq!(found("\\d line"), ["sales.orders.lineitem"]);
    // No function and no column is a table.
    assert_eq!(found("SELECT * FROM su"), [] as [&str; 0]);
    assert!(!found("SELECT lin").contains(&"sales.orders.lineitem".to_owned()));
}

#[test]
fn columns_complete_from_the_ports_that_are_named() {
    check("SELECT l_| FROM sales.orders.lineitem", &["l_orderkey", "l_tax"]);
    check("SELECT x.| FROM sales.orders.lineitem AS x", &["l_orderkey", "l_tax"]);
    check("SELECT lineitem.l_t| FROM sales.orders.lineitem WHERE 1 = 1", &["l_tax"]);
    check("SELECT y.| FROM sales.orders.orders y", &["o_orderkey", "\"Odd name\""]);
}

#[test]
fn names_that_control_a_terminal_are_left_out() {
    let mut names = names();
    let tables = names.catalogs.entry("sales".into()).or_default().entry("orders".into()).or_default();
    tables.insert("line\u{1b}[31m".into(), vec![]);
    tables.insert("lines".into(), vec![("l\u{202e}x".into(), "Int64".into()), ("l_y".into(), "Int64".into())]);
    let found = suggest(&names, "SELECT * FROM sales.orders.line", 31);
    let values: Vec<_> = found.iter().map(|s| s.value.as_str()).collect();
    assert_eq!(values, ["lineitem", "lines"]);
    let found = suggest(&names, "SELECT l FROM sales.orders.lines", 8);
    assert!(found.iter().any(|s| s.value == "l_y") && found.iter().all(|s| is_printable(&s.value)));
}

#[test]
fn keywords_functions_and_commands_complete() {
    check("SEL", &["SELECT"]);
    check("sel", &["select"]);
    check("SELECT su", &["sum("]);
    check("\\ti", &["\\timing"]);
    check("SELECT 1 \\g", &["\\g", "\\gx"]);
}

#[test]
fn the_arguments_of_commands_complete() {
    let found = suggest(&names(), "\\d sal", 6);
    let values: Vec<_> = found.iter().map(|s| (s.value.as_str(), s.span.start, s.span.end)).collect();
    assert_eq!(values, [("sales", 3, 6)]);
    check("\\d sales.orders.li", &["lineitem"]);
    check("\\d sum", &[]);
    check("SELECT 1\n\\plan SELECT l_| FROM sales.orders.lineitem", &["l_tax"]);
    check("\\set portolan.qu", &["portolan.query_timeout"]);
    check("\\o sal", &[]);
}

#[test]
fn settings_complete_where_they_are_named() {
    check("SET portolan.qu", &["portolan.query_timeout"]);
    check("SELECT 1; show ", &["catalog", "portolan.endpoints"]);
    check("RESET portolan.x", &[]);
    check("SET catalog = sal", &["sales"]);
    check("SET portolan.strategy = su", &[]);
    check("\\set portolan.strategy su", &[]);
}

#[test]
fn files_complete_where_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["orders.csv", "o x.sql", "it's.csv", ".hidden"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let at = folder.path().to_str().unwrap();
    let found = |text: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|name| name.replace('@', at)).collect();
        let pos = text.replace('@', at).find('|').unwrap_or(text.replace('@', at).len());
        let values = suggest(&names(), &text.replace('@', at).replace('|', ""), pos).into_iter().map(|s| s.value);
        assert_eq!(values.collect::<Vec<_>>(), expected, "{text}");
    };
    found("\\i @/or", &["@/orders.csv"]);
    found("\\o @/o", &["'@/o x.sql'", "@/orders.csv"]);
    found("\\o '@/o x", &["'@/o x.sql'"]);
    found("\\g @/su", &["@/sub/"]);
    found("\\i @/.h", &["@/.hidden"]);
    found("\\i @/it", &[]);
    found("\\i @/nothing/", &[]);
    found("\\copy t from '@/or", &["'@/orders.csv'"]);
    found("\\copy t FROM '@/it", &["'@/it''s.csv'"]);
    found("\\copy (SELECT 1 FROM (SELECT 2)) to @/or", &["@/orders.csv"]);
    found("\\copy t from '@/orders.csv' (h", &[]);
    found("\\copy t from @/orders.csv h", &[]);
    found("SELECT * FROM '@/or", &["'@/orders.csv'"]);
    found("SELECT * FROM '@/or|' WHERE", &["'@/orders.csv"]);
    found("SELECT * FROM t JOIN '@/s", &["'@/sub/"]);
    found("SELECT * FROM read_csv('@/or", &["'@/orders.csv'"]);
    found("SELECT '@/or", &[]);
    found("SELECT * FROM t WHERE a = '@/or", &[]);
}

#[test]
fn text_and_comments_are_left_alone() {
    check("SELECT 'sal", &[]);
    check("/* sal", &[]);
}
