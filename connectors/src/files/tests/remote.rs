//! Remote stores, without a network: paths, pieces, separation and secrets.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use portolan_catalog::{FileFormat, FileSource, PortRef};

use super::{COLUMNS, Fixture};
use crate::files::location::{Location, StoreAddress};
use crate::files::origin::{Origin, Redaction};
use crate::files::scoped_store::{PIECE, ScopedStore};
use crate::files::{FileSources, store};
use crate::secret::Secret;
use crate::source::SourceOpener;
use crate::source_options::SourceOptions;

#[tokio::test]
async fn a_scoped_store_reads_in_pieces_and_writes_nothing() {
    let inner = Arc::new(InMemory::new());
    let bytes: Vec<u8> = (0..PIECE * 2 + 5).map(|i| (i % 251) as u8).collect();
    inner.put(&Path::from("a b/x.csv"), bytes.clone().into()).await.unwrap();
    let store = ScopedStore::new(inner, "lake-1", false);
    let path = Path::from("lake-1/a b/x.csv");
    let listed: Vec<_> = store.list(Some(&Path::from("lake-1/a b"))).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|m| m.location.clone()).collect::<Vec<_>>(), vec![path.clone()]);
    assert_eq!(store.head(&path).await.unwrap().size, bytes.len() as u64);
    let whole = store.get(&path).await.unwrap();
    assert_eq!(whole.range, 0..bytes.len() as u64);
    assert!(whole.bytes().await.unwrap() == bytes);
    let part = store.get_range(&path, 3..PIECE + 10).await.unwrap();
    assert!(part == bytes[3..PIECE as usize + 10]);
    assert!(store.get(&Path::from("lake-2/a b/x.csv")).await.is_err());
    store.put(&path, "x".into()).await.unwrap_err();
    store.delete(&path).await.unwrap_err();
}

/// Parses a location that is not on this machine.
fn parsed(files: &FileSource) -> Result<Location, String> {
    Location::parse(files, || Err("a location on this machine".to_owned()))
}

#[test]
fn names_that_would_change_a_url_are_refused() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "", COLUMNS);
    for location in [
        "s3://evil.example#/x",
        "s3://evil.example?x/x",
        "s3://evil.example:443/x",
        "s3://../x",
        "s3://AKIA:hunter2/x",
        "gs://a b/x",
        "abfss://box@evil:443#x.dfs.core.windows.net/x",
        "abfss://b%2f@one.dfs.core.windows.net/x",
        "https://evil.example#a/x.csv",
        "https://evil.example\\a/x.csv",
    ] {
        fixture.files().location = location.to_owned();
        let refused = parsed(fixture.files()).expect_err(location);
        assert!(refused.starts_with("expected ") && !refused.contains("hunter2"), "{location}: {refused}");
    }
    fixture.files().location = "https://Example.org:443/x.csv".to_owned();
    assert_eq!(parsed(fixture.files()).unwrap().store, StoreAddress::Http { origin: "https://example.org".to_owned() });
}

#[test]
fn locations_of_stores_are_split_into_base_and_choice() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "", COLUMNS);
    let mut parse = |text: &str| {
        fixture.files().location = text.to_owned();
        parsed(fixture.files()).unwrap()
    };
    let location = parse("s3://lake/raw/day=*/x.parquet").within("scope");
    assert_eq!(location.base, Path::from("scope/raw"));
    let path = Path::from("scope/raw/day=1/x.parquet");
    let chooses = |path: &Path| location.chooses(location.below_base(path).unwrap());
    assert!(chooses(&path) && !chooses(&Path::from("scope/raw/day=1/deep/x.parquet")));
    assert_eq!(location.name_of(&path), "s3://lake/raw/day=1/x.parquet");
    let message = "file s3://lake/raw/day=1/x.parquet: it lacks `1/2`, unlike s3://lake/raw/y.parquet";
    assert_eq!(location.without_folders(message), "file x.parquet: it lacks `1/2`, unlike y.parquet");
    assert_eq!(location.last_segment(), "x.parquet");
    assert_eq!(parse("s3://lake").last_segment(), "its location");
    let single = parse("https://host:8443/a/x.csv").within("scope");
    assert_eq!(single.without_folders("file https://host:8443/a/x.csv is gone"), "file x.csv is gone");
    assert_eq!(parse("az://box/x.csv").store, parse("abfss://box/x.csv").store);
    assert_ne!(
        parse("abfs://box@one.dfs.core.windows.net/x").store,
        parse("abfs://box@two.dfs.core.windows.net/x").store
    );
    assert_eq!(parse("https://host:8443/a%20b/x.csv").base, Path::from("a b/x.csv"));
}

#[test]
fn others_see_no_part_of_a_folder_with_a_space() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "", COLUMNS);
    fixture.files().location = "s3://lake/raw".to_owned();
    let location = parsed(fixture.files()).unwrap();
    let port = PortRef::new("sales", "orders", "orders");
    let origin = Origin { port, has_port: true, location, redact: Redaction::default(), counter: Arc::default() };
    let error = origin.failed("file s3://lake/raw/a b/c/x.parquet is empty".to_owned()).to_string();
    assert!(error.contains("one of its files cannot be read") && !error.contains("b/c"), "{error}");
    let error = origin.failed("file s3://lake/raw/c/x.parquet is empty".to_owned()).to_string();
    assert!(error.contains("file x.parquet is empty"), "{error}");
}

fn options() -> SourceOptions {
    let mut options = SourceOptions::default();
    options.s3.access_key_id = Some(Secret::new("hunter1"));
    options.s3.secret_access_key = Some(Secret::new("hunter2"));
    options.s3.endpoint = Some("http://127.0.0.1:1/hunter2".to_owned());
    options.s3.buckets = vec!["lake".to_owned()];
    options.s3.allow_http = true;
    options
}

#[tokio::test]
async fn two_servers_with_one_bucket_stay_apart() {
    let runtime = Arc::new(RuntimeEnv::default());
    let mut fixture = Fixture::new(FileFormat::Parquet, "s3://lake/x.parquet", COLUMNS);
    let files = fixture.files();
    let mut urls = Vec::new();
    for (server, endpoint) in [("a", None), ("b", None), ("a", Some("https://other"))] {
        let location = parsed(files).unwrap();
        let registered = store::register(server, endpoint, location, &options(), &runtime).await.unwrap();
        urls.push((registered.url.as_str().to_owned(), registered.location.base.to_string()));
    }
    let apart: std::collections::HashSet<_> = urls.iter().collect();
    assert_eq!(apart.len(), 3, "{urls:?}");
}

#[tokio::test]
async fn a_secret_is_in_no_error_and_in_no_debug_form() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "s3://lake/x.parquet", COLUMNS);
    let mut encrypted = options();
    encrypted.s3.allow_http = false;
    let sources = FileSources::new(HashMap::from([("lake".to_owned(), encrypted)]));
    // An endpoint without TLS is refused before anything is sent.
    let error = sources.open(&fixture.port, &Arc::new(RuntimeEnv::default())).await.unwrap_err();
    for shown in [format!("{sources:?}"), format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains("hunter1"), "{shown}");
    }
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let registered = {
        let location = parsed(fixture.files()).unwrap();
        let runtime = Arc::new(RuntimeEnv::default());
        store::register("lake", None, location, &options(), &runtime).await.unwrap()
    };
    let shown = format!("{registered:?}");
    assert!(!shown.contains("hunter"), "{shown}");
}

#[tokio::test]
async fn credentials_go_to_a_web_server_that_the_config_names_and_not_in_the_clear() {
    let fixture = Fixture::new(FileFormat::Csv, "http://127.0.0.1:1/x.csv", COLUMNS);
    let mut options = SourceOptions::default();
    options.http.bearer_token = Some(Secret::new("hunter2"));
    let refused = async |options: &SourceOptions| {
        let sources = FileSources::new(HashMap::from([("lake".to_owned(), options.clone())]));
        let error = sources.open(&fixture.port, &Arc::new(RuntimeEnv::default())).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error
    };
    assert!(refused(&options).await.contains("`sources.lake.http.allow_http`"));
    options.http.allow_http = true;
    assert!(refused(&options).await.contains("`sources.lake.http.hosts`"));
    options.http.hosts = vec!["127.0.0.1:2".to_owned()];
    assert!(refused(&options).await.contains("the host `127.0.0.1` is not in `sources.lake.http.hosts`"));
    // The request is sent, and nobody listens.
    options.http.hosts = vec!["127.0.0.1:1".to_owned()];
    assert!(refused(&options).await.contains("http://127.0.0.1:1/x.csv"));
}

#[tokio::test]
async fn credentials_of_azure_are_for_one_account() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "abfss://box@one.dfs.core.windows.net/x", COLUMNS);
    let mut options = SourceOptions::default();
    options.azure.sas_token = Some(Secret::new("sv=1&sig=hunter2"));
    options.azure.containers = vec!["box".to_owned()];
    let runtime = Arc::new(RuntimeEnv::default());
    let mut registered = async |options: &SourceOptions, location: &str| {
        fixture.files().location = location.to_owned();
        store::register("lake", None, parsed(fixture.files()).unwrap(), options, &runtime).await.map(drop)
    };
    for own in [None, Some("two".to_owned())] {
        options.azure.account = own;
        let refused = registered(&options, "abfss://box@one.dfs.core.windows.net/x").await.unwrap_err();
        assert!(refused.contains("`one`") && refused.contains("`sources.lake.azure.account`"), "{refused}");
    }
    registered(&options, "abfss://box@two.dfs.core.windows.net/x").await.unwrap();
    registered(&options, "az://box/x").await.unwrap();
    let refused = registered(&options, "az://chest/x").await.unwrap_err();
    assert!(refused.contains("`chest`") && refused.contains("`sources.lake.azure.containers`"), "{refused}");
}

#[tokio::test]
async fn a_session_token_alone_is_no_credential() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "s3://lake/x", COLUMNS);
    let mut options = SourceOptions::default();
    options.s3.session_token = Some(Secret::new("hunter2"));
    options.s3.buckets = vec!["*".to_owned()];
    let location = parsed(fixture.files()).unwrap();
    let refused = store::register("lake", None, location, &options, &Arc::default()).await.unwrap_err();
    assert_eq!(refused, "`sources.lake.s3` needs `secret_access_key`");
}

/// Start `moto_server -p 5000`, then run the ignored test with `PORTOLAN_TEST_S3=http://127.0.0.1:5000`.
#[tokio::test]
#[ignore = "needs a server that speaks S3"]
async fn an_s3_server_is_read() {
    let endpoint = std::env::var("PORTOLAN_TEST_S3").unwrap();
    let writer = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(&endpoint)
        .with_allow_http(true)
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_bucket_name("lake");
    let writer = writer.build().unwrap();
    let mut fixture = Fixture::new(FileFormat::Parquet, "s3://lake/orders", &[("day", "date"), ("id", "integer")]);
    for day in 1..4_i64 {
        let path = fixture.parquet("x.parquet", &super::batch(&[day, day * 10]));
        let bytes = std::fs::read(path).unwrap();
        let to = Path::from(format!("orders/day=2024-01-0{day}/x.parquet"));
        writer.put(&to, bytes.into()).await.unwrap();
    }
    let large = format!("id,name,price\n{}", "1,a longer name,0.5\n".repeat(1 << 20));
    writer.put(&Path::from("large.csv"), large.into()).await.unwrap();
    let mut options = SourceOptions::default();
    options.s3.endpoint = Some(endpoint);
    options.s3.allow_http = true;
    options.s3.access_key_id = Some(Secret::new("key"));
    options.s3.secret_access_key = Some(Secret::new("secret"));
    options.s3.buckets = vec!["*".to_owned()];
    let sources = FileSources::new(HashMap::from([("lake".to_owned(), options)]));
    let (_, context) = fixture.open_with(&sources).await.unwrap();
    let sum = super::rows(&context, "SELECT sum(id) FROM t WHERE day >= DATE '2024-01-02'").await.unwrap();
    assert_eq!(sum, "| 55        |");
    writer.put(&Path::from("orders/day=2024-01-02/x.parquet"), "garbage".into()).await.unwrap();
    let error = super::rows(&context, "SELECT sum(id) FROM t").await.unwrap_err();
    assert!(super::ours(&error).owner_chain().contains("s3://lake/orders/day=2024-01-02/x.parquet"), "{error}");

    fixture = Fixture::new(FileFormat::Csv, "s3://lake/large.csv", COLUMNS);
    let (_, context) = fixture.open_with(&sources).await.unwrap();
    assert_eq!(super::rows(&context, "SELECT count(price) FROM t").await.unwrap(), "| 1048576        |");
    fixture.files().location = "s3://lake/nothing".to_owned();
    let refused = fixture.open_with(&sources).await.err().unwrap().to_string();
    assert!(refused.contains("s3://lake/nothing"), "{refused}");
    fixture.files().location = "s3://no-such-bucket/nothing".to_owned();
    let refused = fixture.open_with(&sources).await.err().unwrap().to_string();
    assert!(refused.contains("s3://no-such-bucket/nothing"), "{refused}");
}
