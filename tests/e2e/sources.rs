//! Ports over every kind of file, queried through a gateway: CSV, JSON lines, Arrow IPC, partitioned Parquet, and
//! Parquet on a server that speaks S3.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::node::checked;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::python::{Server, python, run_script};
use portolan_tests::rows::text;
use serde_json::json;

const COLUMNS: [(&str, &str); 3] = [("id", "integer"), ("name", "string"), ("weight", "number")];

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names: ArrayRef =
        Arc::new(StringArray::from_iter(ids.clone().map(|i| (i % 3 != 0).then(|| format!("sample, \"{i}\"")))));
    let weights: ArrayRef = Arc::new(Float64Array::from_iter_values(ids.clone().map(|i| i as f64 / 4.0)));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_from_iter([("id", ids), ("name", names), ("weight", weights)]).unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn write_files(home: &Path) -> Vec<PortFile> {
    fs::create_dir_all(home).unwrap();
    let at = |name: &str| home.join(name);
    let rows = batch(0..60);
    let mut csv = arrow::csv::Writer::new(File::create(at("samples.csv")).unwrap());
    csv.write(&rows).unwrap();
    drop(csv);
    let mut json = arrow::json::LineDelimitedWriter::new(File::create(at("samples.json")).unwrap());
    json.write(&rows).unwrap();
    json.finish().unwrap();
    let mut ipc = FileWriter::try_new(File::create(at("samples.arrow")).unwrap(), &rows.schema()).unwrap();
    ipc.write(&rows).unwrap();
    ipc.finish().unwrap();
    write_parquet(&at("samples.parquet"), &rows);
    for year in 2024..2027 {
        for lab in ["north", "south"] {
            let from = (year - 2024) * 20 + if lab == "north" { 0 } else { 10 };
            let file = at("hive").join(format!("year={year}/lab={lab}/part-0.parquet"));
            write_parquet(&file, &batch(from..from + 10));
        }
    }
    let mut ports: Vec<_> = [("csv", "csv"), ("json", "json"), ("arrow", "arrow"), ("parquet", "parquet")]
        .map(|(name, format)| PortFile::local(name, &at(&format!("samples.{name}")), format, &COLUMNS))
        .into();
    let mut hive = PortFile::local("hive", &at("hive"), "parquet", &COLUMNS);
    hive.columns.extend([("year", "integer", true), ("lab", "string", true)]);
    ports.push(hive);
    ports.push(PortFile::local("glob", &at("hive/*/lab=south/*.parquet"), "parquet", &COLUMNS));
    ports
}

const SUMS: &str = "count(*) AS n, count(name) AS names, sum(id) AS ids, sum(weight) AS weights, max(name) AS last";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_returns_the_same_rows() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("lab");
        products::write(&home, &write_files(&home));
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home, json!({}))], json!({})).await;
        let client = mesh.client().await;
        let expected = text(&client, &format!("SELECT {SUMS} FROM lab.samples.parquet")).await;
        assert!(expected.contains("| 60 | 40    | 1770 | 442.5 "), "{expected}");
        for placement in ["on", "off"] {
            client.query(&format!("SET portolan.placement = {placement}")).await.unwrap();
            for port in ["csv", "json", "arrow", "hive"] {
                assert_eq!(text(&client, &format!("SELECT {SUMS} FROM lab.samples.{port}")).await, expected, "{port}");
                let joined = format!(
                    "SELECT count(*) AS n FROM lab.samples.{port} a JOIN lab.samples.parquet b \
                     ON a.id = b.id AND a.name = b.name AND a.weight = b.weight"
                );
                assert!(text(&client, &joined).await.contains("| 40 |"), "{port}");
            }
            let sql = "SELECT sum(id) AS n, min(year) AS y FROM lab.samples.hive WHERE year = 2025 AND lab = 'south'";
            assert!(text(&client, sql).await.contains("| 345 | 2025 |"), "{}", text(&client, sql).await);
            let sql = "SELECT count(*) AS n, sum(id) AS s FROM lab.samples.glob";
            assert!(text(&client, sql).await.contains("| 30 | 1035 |"), "{}", text(&client, sql).await);
        }
    })
    .await;
}

const SECRET: &str = "moto-does-not-check-this";

const S3_SERVER: &str = "
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=int(sys.argv[1]))
server.start()
sys.stdin.read()
server.stop()
";

const S3_UPLOAD: &str = "
import sys, boto3
from botocore.config import Config
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='me',
                  aws_secret_access_key='x', config=Config(connect_timeout=5, read_timeout=10, retries={'max_attempts': 20}))
s3.create_bucket(Bucket='lake')
for path in sys.argv[2:]:
    key, file = path.split('=', 1)
    s3.upload_file(file, 'lake', key)
print('uploaded')
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_on_an_s3_server() {
    within(1500, async {
        let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else { return };
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("lab");
        write_parquet(&home.join("a.parquet"), &batch(0..30));
        write_parquet(&home.join("b.parquet"), &batch(30..60));
        // The port was free a moment ago. The server cannot report which port it took.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _server = Server::start(&python, S3_SERVER, &[&address.port().to_string()]);
        let soon = Duration::from_secs(60);
        until("the S3 server listens", soon, async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        let endpoint = format!("http://{address}");
        let upload = |key: &str| format!("raw/{key}={}", home.join(key).display());
        let uploaded = run_script(&python, S3_UPLOAD, &[&endpoint, &upload("a.parquet"), &upload("b.parquet")]);
        assert!(uploaded.contains("uploaded"), "{uploaded}");

        let s3 = |name, location: &str| PortFile {
            name,
            server: json!({
                "server": "lake", "type": "s3", "location": location, "endpointUrl": endpoint, "format": "parquet",
            }),
            columns: COLUMNS.iter().map(|(name, kind)| (*name, *kind, false)).collect(),
        };
        let all = s3("whole", "s3://lake/raw/*.parquet");
        products::write(&home, &[all.clone(), s3("single", "s3://lake/raw/b.parquet")]);
        let sources = json!({ "sources": { "lake": { "s3": {
            "access_key_id": "me", "secret_access_key": SECRET, "region": "us-east-1", "allow_http": true,
            "endpoint": endpoint, "buckets": ["lake", "pond"],
        } } } });
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), sources.clone())], json!({})).await;
        let client = mesh.client().await;
        let whole = text(&client, &format!("SELECT {SUMS} FROM lab.samples.whole")).await;
        assert!(whole.contains("| 60 | 40    | 1770 | 442.5 "), "{whole}");
        let single =
            text(&client, "SELECT count(*) AS n, min(id) AS first FROM lab.samples.single WHERE id > 40").await;
        assert!(single.contains("| 19 | 41    |"), "{single}");
        assert!(!mesh.node(DOMAIN).log().contains(SECRET), "{}", mesh.node(DOMAIN).log());

        // The error for a missing bucket has the bucket's name, and no secret.
        products::write(&home, &[all, s3("missing", "s3://pond/raw/*.parquet")]);
        let (code, err) = checked(&home).await;
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("missing.odcs.yaml:") && err.contains("pond") && !err.contains(SECRET), "{err}");
    })
    .await;
}
