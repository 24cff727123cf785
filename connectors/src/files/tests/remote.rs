//! Remote stores, without a network: paths, pieces, separation and secrets.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use portolan_catalog::FileFormat;

use super::{COLUMNS, Fixture};
use crate::files::location::Location;
use crate::files::scoped_store::{PIECE, ScopedStore};
use crate::files::{FileSources, Secret, SourceOptions, store};
use crate::source::SourceOpener;

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

#[test]
fn locations_of_stores_are_split_into_base_and_choice() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "", COLUMNS);
    let mut parse = |text: &str| {
        fixture.files().location = text.to_owned();
        Location::parse(fixture.files()).unwrap()
    };
    let location = parse("s3://lake/raw/day=*/x.parquet").within("scope");
    assert_eq!(location.base, Path::from("scope/raw"));
    let path = Path::from("scope/raw/day=1/x.parquet");
    assert!(location.chooses(&path));
    assert!(!location.chooses(&Path::from("scope/raw/day=1/deep/x.parquet")));
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

fn options() -> SourceOptions {
    let mut options = SourceOptions::default();
    options.s3.access_key_id = Some(Secret::new("hunter1"));
    options.s3.secret_access_key = Some(Secret::new("hunter2"));
    options.s3.endpoint = Some("http://127.0.0.1:1/hunter2".to_owned());
    options
}

#[tokio::test]
async fn two_servers_with_one_bucket_stay_apart() {
    let runtime = Arc::new(RuntimeEnv::default());
    let mut fixture = Fixture::new(FileFormat::Parquet, "s3://lake/x.parquet", COLUMNS);
    let files = fixture.files();
    let mut urls = Vec::new();
    for (server, endpoint) in [("a", None), ("b", None), ("a", Some("https://other"))] {
        let location = Location::parse(files).unwrap();
        let registered = store::register(server, endpoint, location, &options(), &runtime).unwrap();
        urls.push((registered.url.as_str().to_owned(), registered.location.base.to_string()));
    }
    let apart: std::collections::HashSet<_> = urls.iter().collect();
    assert_eq!(apart.len(), 3, "{urls:?}");
}

#[tokio::test]
async fn a_secret_is_in_no_error_and_in_no_debug_form() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "s3://lake/x.parquet", COLUMNS);
    let sources = FileSources::new(HashMap::from([("lake".to_owned(), options())]));
    // An endpoint without TLS is refused before anything is sent.
    let error = sources.open(&fixture.port, &Arc::new(RuntimeEnv::default())).await.unwrap_err();
    for shown in [format!("{sources:?}"), format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains("hunter1"), "{shown}");
    }
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let registered = {
        let mut options = options();
        options.s3.allow_http = true;
        let location = Location::parse(fixture.files()).unwrap();
        let runtime = Arc::new(RuntimeEnv::default());
        store::register("lake", None, location, &options, &runtime).unwrap()
    };
    let shown = format!("{registered:?}");
    assert!(!shown.contains("hunter"), "{shown}");
}

#[tokio::test]
async fn credentials_do_not_go_to_a_web_server_in_the_clear() {
    let fixture = Fixture::new(FileFormat::Csv, "http://127.0.0.1:1/x.csv", COLUMNS);
    let mut options = SourceOptions::default();
    options.http.bearer_token = Some(Secret::new("hunter2"));
    let sources = FileSources::new(HashMap::from([("lake".to_owned(), options)]));
    let error = sources.open(&fixture.port, &Arc::new(RuntimeEnv::default())).await.unwrap_err().to_string();
    assert!(error.contains("without TLS") && !error.contains("hunter2"), "{error}");
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
