// GizmoSQL's client, which is written in JavaScript: queries and metadata. For prepared statements and keys, it sends
// messages to every server that are not Flight SQL's.

import { FlightSQLClient } from "@gizmodata/gizmosql-client";

import { address, beyond, expect, fails, Limit, run, settings } from "./report.js";

const { url, user, password, anonymous, token, tls } = settings;

async function using(options, use) {
  const client = new FlightSQLClient(options);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

function options() {
  const login = user ? { username: user, password } : {};
  return { ...address(url), plaintext: true, ...login };
}

/** Returns a check over a connection to --url. */
function at(use) {
  return () => using(options(), use);
}

/** Returns the rows of a query, each as an array of its values as strings. */
async function rows(client, sql) {
  const table = await client.execute(sql);
  const columns = table.schema.fields.map((_, index) => table.getChildAt(index));
  return Array.from({ length: table.numRows }, (_, row) => columns.map((column) => String(column.get(row))));
}

async function answers(client, sql, ...wanted) {
  const got = (await rows(client, sql)).map((row) => row.join("|"));
  expect(got.join("\n") === wanted.join("\n"), `${JSON.stringify(wanted)} of ${sql}`, got);
}

function connects(options) {
  return using(options, (client) => answers(client, "SELECT 1 AS one", "1"));
}

async function byPassword() {
  await connects(options());
  const said = await fails(connects({ ...options(), password: "not-this-one" }));
  expect(!said.includes("not-this-one"), "no secret in the error", said);
}

async function browse(client) {
  const catalogs = await client.getCatalogs();
  for (const name of ["geo", "portolan", "sales", "supply"]) expect(catalogs.includes(name), name, catalogs);
  const schemas = await client.getSchemas("geo");
  expect(schemas.length === 1 && schemas[0].schema === "places", "places", schemas);
  const tables = await client.getTables("geo", "places", "na%", ["TABLE"]);
  expect(tables.length === 1 && tables[0].tableName === "nation" && tables[0].tableType === "TABLE", "nation", tables);
  expect((await client.getTables("geo", "places", "no_such%")).length === 0, "no tables", "some");
  expect((await client.getTableTypes()).includes("TABLE"), "TABLE", "other types");
}

async function getters(client) {
  const some = await client.getSqlInfo([0, 3]);
  expect(some.size === 2 && /portolan/i.test(some.get(0)), "the server's name", [...some]);
  const all = await client.getSqlInfo();
  expect(all.size > 50, "all that the server says", [...all.keys()]);
}

async function keys(client) {
  const reason = "the client sends the command without the wrapping that Flight SQL requires";
  const found = await beyond(reason, "this node does not support", client.getPrimaryKeys("geo", "places", "nation"));
  expect(Array.isArray(found), "keys", found);
}

async function schema(client) {
  const reason = "the client sends the command without the wrapping that Flight SQL requires";
  await beyond(reason, "this node does not support", client.getQuerySchema("SELECT 1 AS one"));
}

async function types(client) {
  const sql =
    "SELECT CAST(-2 AS SMALLINT) AS a, CAST(9007199254740993 AS BIGINT) AS b, CAST(2.5 AS DOUBLE) AS c, TRUE AS d, 'Übermut' AS e, " +
    "CAST(NULL AS INT) AS f, DATE '2024-02-29' AS g, X'00ff' AS h";
  const [row] = await rows(client, sql);
  expect(row.slice(0, 6).join(" ") === "-2 9007199254740993 2.5 true Übermut null", "the values", row);
  const day = Number.isNaN(Number(row[6])) ? row[6] : new Date(Number(row[6])).toISOString();
  expect(String(day).includes("2024-02-29"), "a date", row[6]);
  expect(row[7] === "0,255", "bytes", row[7]);
}

async function parameters(client) {
  await beyond("the client's prepared statements fail before they are sent", "serialization", client.prepare("SELECT 1"));
}

async function large(client) {
  const table = await client.execute("SELECT * FROM sales.orders.lineitem");
  expect(table.numRows === 60175, "60175 rows", table.numRows);
}

async function empty(client) {
  const table = await client.execute("SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0");
  expect(table.numRows === 0 && table.schema.fields.length === 2, "no rows of two columns", table.numRows);
}

async function duplicates(client) {
  const join = "FROM geo.places.nation n JOIN geo.places.nation m ON n.n_nationkey = m.n_regionkey WHERE m.n_nationkey = 3";
  await answers(client, `SELECT n.n_name, m.n_name ${join}`, "ARGENTINA|CANADA");
}

async function errors(client) {
  await fails(client.execute("SELEC 1"), "SELEC");
  await fails(client.execute("SELECT n_nam FROM geo.places.nation"), "n_nam", "n_name");
  await fails(client.execute("SELECT CAST('x' AS INT)"), "x");
  await answers(client, "SELECT 1 AS one", "1");
}

async function updates(client) {
  await client.execute("CREATE TABLE node_people (id BIGINT, name VARCHAR)");
  await client.execute("INSERT INTO node_people VALUES (1, 'Ada'), (2, 'Grace')");
  await client.execute("UPDATE node_people SET name = 'Barbara' WHERE id = 2");
  await answers(client, "SELECT id, name FROM node_people ORDER BY id", "1|Ada", "2|Barbara");
  await client.execute("DROP TABLE node_people");
}

async function catalog(client) {
  await client.execute("SET catalog = 'geo'");
  await client.execute("SET schema = 'places'");
  await answers(client, "SELECT count(*) FROM nation", "25");
}

const checks = [];
if (anonymous) checks.push(["connect-anonymous", () => connects({ ...address(anonymous), plaintext: true })]);
if (user) checks.push(["connect-password", byPassword]);
if (token) {
  checks.push(["connect-token", () => connects({ ...address(url), plaintext: true, token })]);
  const login = { username: settings["token-user"], password: token };
  checks.push(["connect-token-as-password", () => connects({ ...address(url), plaintext: true, ...login })]);
}
// The client trusts the roots that gRPC reads from GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, and has no option for them.
if (tls) checks.push(["connect-tls", () => connects({ ...options(), ...address(tls), plaintext: false })]);
checks.push(
  ["connect-mtls", () => Promise.reject(new Limit("the client accepts no certificate of its own"))],
  ["connect-oauth", () => Promise.reject(new Limit("the client fetches no tokens: give it one as `token`"))],
  ["browse", at(browse)],
  ["metadata-getters", at(getters)],
  ["keys", at(keys)],
  ["schema", at(schema)],
  ["types", at(types)],
  ["parameters", at(parameters)],
  ["large-results", at(large)],
  ["empty-results", at(empty)],
  ["duplicate-names", at(duplicates)],
  ["errors", at(errors)],
  ["ingest", () => Promise.reject(new Limit("the client has no ingest"))],
  ["cancel", () => Promise.reject(new Limit("the client cannot cancel; it stops waiting after 60 seconds"))],
);
// The client keeps no cookies, so only a login gives it a session.
if (user) checks.push(["updates", at(updates)], ["session-catalog", at(catalog)]);
await run("@gizmodata/gizmosql-client", checks);
