//! URLs of databases, and the entries of a config that they become.

#![allow(clippy::unwrap_used)]

use portolan_catalog::DatabaseAddress as Address;

use super::*;

fn parsed(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap()
}

fn refused(text: &str) -> String {
    DatabaseUrl::parse(text).unwrap_err().owner_chain()
}

fn server(host: &str, port: u16, database: &str) -> Address {
    Address::Server { host: host.to_owned(), port, database: database.to_owned() }
}

#[test]
fn urls_have_the_parts_of_an_address() {
    let url = parsed("postgres://ann:p%40ss%2Fw%C3%B6rd@db.example.org:5433/sh%20op?schema=sales&sslmode=disable");
    assert_eq!(url.kind, DatabaseKind::Postgres);
    assert_eq!(url.address, server("db.example.org", 5433, "sh op"));
    assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("ann"), Some("p@ss/wörd")));
    assert_eq!((url.schema(), url.tls), (Some("sales"), Some(TlsMode::Disable)));
    assert_eq!((url.server_name(), url.product_name()), ("sh_op".to_owned(), "sales".to_owned()));
    assert_eq!(format!("{url:?}"), "DatabaseUrl(\"postgres://db.example.org:5433/sh op\")");

    let url = parsed("postgresql://localhost/shop");
    assert_eq!((url.address.clone(), url.schema()), (server("localhost", 5432, "shop"), Some("public")));
    assert_eq!((url.user.as_deref(), url.product_name()), (None, "shop".to_owned()));
    let url = parsed("mariadb://root@[::1]/shop");
    assert_eq!((url.kind, url.address.clone()), (DatabaseKind::MariaDb, server("::1", 3306, "shop")));
    assert_eq!(url.schema(), None);
    assert_eq!(parsed("MySQL://h/d").kind, DatabaseKind::MySql);
}

#[test]
fn a_file_is_a_database_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let file = folder.join("My Shop.db");
    std::fs::write(&file, "").unwrap();
    for text in
        [format!("sqlite://{}", file.display()), format!("sqlite:{}", file.display()), file.display().to_string()]
    {
        let url = parsed(&text);
        assert_eq!(url.address, Address::File { path: file.display().to_string(), base: folder.clone() }, "{text}");
        assert_eq!((url.kind, url.server_name(), url.schema()), (DatabaseKind::Sqlite, "my_shop".to_owned(), None));
        assert_eq!(url.access("my_shop".to_owned(), None).config(), None);
    }
    assert!(refused(&format!("sqlite://{}/none.db", folder.display())).starts_with("there is no file "));
}

#[test]
fn a_text_that_is_no_url_is_refused_without_its_password() {
    for (text, expected) in [
        ("postgres:///shop", "the host is missing"),
        ("postgres://u:hunter2@/shop", "the URL of the database is not valid: empty host"),
        ("postgres://u:hunter2@h", "the name of the database is missing"),
        ("mysql://u:hunter2@h/a/b", "the name of the database is missing, or has more than one part"),
        ("postgres://u:hunter2@h:x/d", "the URL of the database is not valid: invalid port number"),
        ("postgre://u:hunter2@h/d", "did you mean `postgres://`?"),
        ("oracle://u:hunter2@h/d", "`oracle://` is no database"),
        ("my_db://u:hunter2@h/d", "expected the URL of a database: `postgres://user@host/database`"),
        ("postgres://u:hunter2@h/d?sslmod=disable", "no parameter `sslmod`: expected one of `schema`, `sslmode`"),
        ("postgres://u:hunter2@h/d?sslmode=prefer", "`sslmode`: expected `disable` or `verify-full`, got `prefer`"),
        ("mysql://u:hunter2@h/d?schema=s", "MySQL has no schemas in a database: leave out the schema `s`"),
        ("postgres://u:%ff@h/d", "an escape that is no UTF-8"),
        ("postgres://u:hunter2@h/d%00", "a control character"),
    ] {
        let message = refused(text);
        assert!(message.contains(expected) && !message.contains("hunter2"), "{text}: {message}");
    }
    let mut url = parsed("postgres://h/d?schema=a");
    url.set_schema("a").unwrap();
    assert!(url.set_schema("b").unwrap_err().owner_chain().contains("the URL has the schema `a`, got `b`"));
}

#[test]
fn the_account_for_the_host_in_a_config_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = |text: &str| NodeConfig::parse(text, &folder.path().join("node.yaml")).unwrap();
    let found = |url: &str, server: Option<&str>, config: &NodeConfig| {
        parsed(url).configured(server, config).map(|(name, options)| (name.to_owned(), options.user.clone().unwrap()))
    };
    let is = |name: &str, user: &str| Some((name.to_owned(), user.to_owned()));
    let one = config("sources: {lake: {database: {host: db.example.org, user: reader}}, files: {max_files: 3}}\n");
    for (url, server, expected) in [
        ("postgres://db.example.org/shop", None, is("lake", "reader")),
        ("postgres://reader@DB.example.org:5432/shop", Some("lake"), is("lake", "reader")),
        ("postgres://ann@db.example.org/shop", None, None),
        ("postgres://db.example.org:5433/shop", None, None),
        ("postgres://evil.example/shop", Some("lake"), None),
        ("postgres://db.example.org/shop", Some("shop"), None),
        ("postgres://db.example.org/files", None, None),
    ] {
        assert_eq!(found(url, server, &one), expected, "{url} {server:?}");
    }
    let two = config(
        "sources: {a: {database: {host: 'h:5433', user: ann}}, shop: {database: {host: 'h:5433', user: bob}}}\n",
    );
    assert_eq!(found("postgres://h:5433/shop", None, &two), is("shop", "bob"));
    assert_eq!(found("postgres://ann@h:5433/shop", None, &two), None);
    assert_eq!(found("postgres://h:5433/other", None, &two), None);
    assert_eq!(found("postgres://ann@h:5433/other", None, &two), is("a", "ann"));
}

#[test]
fn a_config_has_the_account_but_not_the_password() {
    let url = parsed("postgres://ann:hunter2@h:6000/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem");
    let access = url.access("shop".to_owned(), Some("SHOP_PASSWORD".to_owned()));
    assert_eq!(
        access.config().unwrap(),
        "  shop:\n    database:\n      host: h:6000\n      user: ann\n      password: {env: SHOP_PASSWORD}\n      tls: \
         verify\n      ca: /etc/ca.pem\n"
    );
    assert!(!format!("{access:?}{url:?}{:?}", url.options(url.password.clone())).contains("hunter2"));
    let plain = parsed("mysql://[fe80::1]:3307/shop").access("shop".to_owned(), None);
    assert_eq!(plain.config().unwrap(), "  shop:\n    database:\n      host: \"[fe80::1]:3307\"\n");
    let usual = parsed("mysql://u@[fe80::1]/shop").access("shop".to_owned(), None);
    assert_eq!(usual.config().unwrap(), "  shop:\n    database:\n      host: fe80::1\n      user: u\n");
}
