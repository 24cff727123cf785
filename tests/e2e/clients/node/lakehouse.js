// The client of lakehouse-rs: Arrow's Rust client, compiled for Node. It does queries and metadata, and returns IPC
// streams.

import lakehouse from "@lakehouse-rs/flight-sql-client";
import { tableFromIPC } from "apache-arrow";

import { address, expect, fails, Limit, run, settings } from "./report.js";

const { url, user, password, anonymous, token } = settings;

function open(options) {
  return lakehouse.createFlightSqlClient({ tls: false, headers: [], ...options });
}

function options() {
  const login = user ? { username: user, password } : {};
  return { ...address(url), ...login };
}

/** Returns a check over a connection to --url. */
function at(use) {
  return async () => use(await open(options()));
}

async function query(client, sql) {
  return tableFromIPC(await client.query(sql));
}

async function answers(client, sql, ...wanted) {
  const table = await query(client, sql);
  const columns = table.schema.fields.map((_, index) => table.getChildAt(index));
  const got = Array.from({ length: table.numRows }, (_, row) => columns.map((c) => String(c.get(row))).join("|"));
  expect(got.join("\n") === wanted.join("\n"), `${JSON.stringify(wanted)} of ${sql}`, got);
}

async function connects(options) {
  await answers(await open(options), "SELECT 1 AS one", "1");
}

function names(buffer, column) {
  return [...tableFromIPC(buffer).getChild(column)];
}

async function browse(client) {
  const catalogs = names(await client.getCatalogs(), "catalog_name");
  for (const name of ["geo", "portolan", "sales", "supply"]) expect(catalogs.includes(name), name, catalogs);
  const schemas = names(await client.getDbSchemas({ catalog: "geo" }), "db_schema_name");
  expect(schemas.join() === "places", "places", schemas);
  const filter = { catalog: "geo", dbSchemaFilterPattern: "places", tableNameFilterPattern: "na%", includeSchema: true };
  const tables = names(await client.getTables(filter), "table_name");
  expect(tables.join() === "nation", "nation", tables);
}

async function types(client) {
  const sql = "SELECT CAST(-2 AS SMALLINT) AS a, CAST(9007199254740993 AS BIGINT) AS b, CAST(2.5 AS DOUBLE) AS c, TRUE AS d, 'Übermut' AS e, CAST(NULL AS INT) AS f";
  await answers(client, sql, "-2|9007199254740993|2.5|true|Übermut|null");
}

async function large(client) {
  const table = await query(client, "SELECT * FROM sales.orders.lineitem");
  expect(table.numRows === 60175, "60175 rows", table.numRows);
}

async function empty(client) {
  const table = await query(client, "SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0");
  expect(table.numRows === 0, "no rows", table.numRows);
  if (table.schema.fields.length === 0) throw new Limit("a result without rows comes without its columns");
}

async function duplicates(client) {
  const join = "FROM geo.places.nation n JOIN geo.places.nation m ON n.n_nationkey = m.n_regionkey WHERE m.n_nationkey = 3";
  await answers(client, `SELECT n.n_name, m.n_name ${join}`, "ARGENTINA|CANADA");
}

async function errors(client) {
  const said = await fails(client.query("SELECT n_nam FROM geo.places.nation"));
  await answers(client, "SELECT 1 AS one", "1");
  if (!said.includes("n_name")) throw new Limit("the client does not pass on what the server says");
}

const checks = [];
if (anonymous) checks.push(["connect-anonymous", () => connects(address(anonymous))]);
// A refused login panics within the client and is never reported, so only the right one is tested.
if (user) checks.push(["connect-password", () => connects(options())]);
if (token) checks.push(["connect-token", () => connects({ ...address(url), token })]);
checks.push(
  ["browse", at(browse)],
  ["types", at(types)],
  ["parameters", () => Promise.reject(new Limit("the client has no prepared statements"))],
  ["large-results", at(large)],
  ["empty-results", at(empty)],
  ["duplicate-names", at(duplicates)],
  ["errors", at(errors)],
  ["cancel", () => Promise.reject(new Limit("the client cannot cancel"))],
);
await run("@lakehouse-rs/flight-sql-client", checks);
