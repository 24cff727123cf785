//! The programs of the book's chapter about the library, so that they are compiled. `book_blocks.rs` compares them with the
//! chapter.

#![allow(unused, clippy::field_reassign_with_default)]

#[rustfmt::skip]
mod first_query {
    use portolan_engine::Engine;
    use portolan_engine::arrow::util::pretty::print_batches;

    #[tokio::main]
    async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let engine = Engine::connect("grpc://127.0.0.1:50051").await?;
        let rows = engine.sql("SELECT count(*) FROM sales.orders.orders").await?.collect().await?;
        print_batches(&rows)?;
        Ok(())
    }
}

#[rustfmt::skip]
mod peers_and_limits {
    use std::sync::Arc;

    use futures::TryStreamExt;
    use portolan_engine::connectors::node::{NodeOptions, NodeSite};
    use portolan_engine::{Engine, Limits, Principal};

    async fn job() -> Result<(), Box<dyn std::error::Error>> {
    let mut limits = Limits::default();
    limits.query_memory = 512 << 20;
    let engine = Engine::builder()
        .peer(Arc::new(NodeSite::new("grpc://127.0.0.1:50051", NodeOptions::default())?))
        .limits(limits)
        .build()?;
    // The engine fetches the catalogs of its peers in the background. A program that queries at once waits for them.
    for (url, reason) in engine.refresh().await.failed {
        eprintln!("{url} did not answer: {reason}");
    }

    let session = engine.session(Principal::new("analytics"));
    let mut rows = session.sql("SELECT * FROM sales.orders.orders").await?;
    while let Some(batch) = rows.try_next().await? {
        println!("{} rows", batch.num_rows());
    }
    Ok(())
    }
}

#[rustfmt::skip]
mod statements {
    use portolan_engine::{ScalarValue, Session};

    async fn statements(session: Session) -> portolan_engine::Result<()> {
    let orders = session.prepare("SELECT count(*) FROM sales.orders.orders WHERE o_totalprice > $1").await?;
    let rows = orders.execute(&[ScalarValue::from(1000.0)]).await?.collect().await?;

    let orders = session.prepare("SELECT count(*) FROM sales.orders.orders WHERE o_totalprice BETWEEN $low AND $high").await?;
    let bounds = [("low", ScalarValue::from(1000.0)), ("high", ScalarValue::from(2000.0))];
    let rows = orders.execute_named(&bounds).await?.collect().await?;
    Ok(())
    }
}

#[rustfmt::skip]
mod own_rows {
    use portolan_engine::{RecordBatch, Session};
    use portolan_engine::connectors::files::LocalFileOptions;

    async fn tables(session: Session, batches: Vec<RecordBatch>) -> portolan_engine::Result<()> {
    session.register_batches("list", batches).await?;
    session.register_file("visits", "data/visits-*.csv", &LocalFileOptions::default()).await?;
    let rows = session.sql("SELECT count(*) FROM visits JOIN list USING (id)").await?.collect().await?;
    Ok(())
    }
}

#[rustfmt::skip]
mod own_domain {
    use std::sync::Arc;

    use portolan_engine::Engine;
    use portolan_engine::RecordBatch;
    use portolan_engine::catalog::{Column, DomainCatalog, Port, PortRef};
    use portolan_engine::connectors::{LocalDomain, OpenedPort};
    use portolan_engine::datafusion::catalog::MemTable;

    async fn domain(rows: RecordBatch) -> Result<(), Box<dyn std::error::Error>> {
    let name = PortRef::new("lab", "samples", "events");
    let port = Port::new(name.clone()).with_columns([Column::new("id")]);
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
    let domain = LocalDomain::new(DomainCatalog::new("lab", [port]), [OpenedPort::new(name, Arc::new(table))]);
    let engine = Engine::builder().local_domain(domain).build()?;
    let rows = engine.sql("SELECT id FROM lab.samples.events").await?;
    Ok(())
    }
}

#[rustfmt::skip]
mod own_descriptors {
    use std::path::Path;
    use std::sync::Arc;

    use portolan_engine::Engine;
    use portolan_engine::catalog::{DomainName, load_domain};
    use portolan_engine::connectors::files::FileSources;
    use portolan_engine::connectors::open_domain;
    use portolan_engine::datafusion::execution::runtime_env::RuntimeEnv;

    async fn descriptors() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Arc::new(RuntimeEnv::default());
    let catalog = load_domain(&DomainName::new("sales"), Path::new("products"))?;
    let domain = open_domain(catalog, &FileSources::default(), &runtime).await?;
    let engine = Engine::builder().local_domain(domain).runtime_env(runtime).build()?;
    Ok(())
    }
}

#[rustfmt::skip]
mod whole_node {
    use std::path::Path;

    use portolan_node::{Node, NodeConfig};

    async fn serve() -> portolan_node::Result<()> {
    let config = NodeConfig::load(Path::new("node.yaml"))?;
    let node = Node::builder().config(config).build().await?;
    let server = node.bind().await?;
    println!("listening at {}", server.url());
    server.serve(std::future::pending()).await
    }
}
