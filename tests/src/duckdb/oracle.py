"""Answers queries with DuckDB: one JSON object in each line of standard input and of standard output.

The first line opens ports: {"settings": ["SET ..."], "ports": [{"name": "domain.product.port", "files": [...]}]}.
Each later line is a query: {"id": 1, "sql": "SELECT ...", "seconds": 20, "optimize": true}. The response has the id,
and either "rows" (an Arrow IPC stream in base64) or "error".
"""

import base64
import json
import sys
import threading

import duckdb
import pyarrow as pa


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def open_ports(connection, ports):
    """Reads every port into a table, so that no statistics of the files affect a query."""
    catalogs, schemas = set(), set()
    for port in ports:
        catalog, schema, table = map(quoted, port["name"].split("."))
        if catalog not in catalogs:
            catalogs.add(catalog)
            connection.execute(f"ATTACH ':memory:' AS {catalog}")
        if (catalog, schema) not in schemas:
            schemas.add((catalog, schema))
            connection.execute(f"CREATE SCHEMA {catalog}.{schema}")
        files = ", ".join(map(literal, port["files"]))
        connection.execute(
            f"CREATE TABLE {catalog}.{schema}.{table} AS SELECT * FROM read_parquet([{files}], hive_partitioning = false)"
        )


def answer(connection, sql, seconds):
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        rows = connection.sql(sql).to_arrow_table()
    finally:
        timer.cancel()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return base64.b64encode(sink.getvalue()).decode()


def main():
    connection = duckdb.connect(":memory:")
    reply = lambda answer: print(json.dumps(answer), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "ports" in request:
                for setting in request["settings"]:
                    connection.execute(setting)
                open_ports(connection, request["ports"])
                reply({"id": 0})
                continue
            connection.execute("PRAGMA enable_optimizer" if request["optimize"] else "PRAGMA disable_optimizer")
            rows = answer(connection, request["sql"], request["seconds"])
            reply({"id": request["id"], "rows": rows})
        except Exception as error:
            reply({"id": request.get("id", 0), "error": f"{type(error).__name__}: {error}"})


main()
