"""ADBC's driver for Flight SQL, unmodified, through its DBAPI, feature by feature.

Features are tested at --url, as --user if one is given. Each way to connect is tested if its flags are given.
"""

import concurrent.futures
import contextlib
import datetime
import decimal
import gc
import json
import threading
import time
import warnings

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pyarrow as pa
from adbc_driver_flightsql import ConnectionOptions, DatabaseOptions, StatementOptions

from report import Limit, eventually, expect, fails, run, same, settings, text_of

SETTINGS = settings()

# A query that takes longer than any test waits, and returns no row before its end.
ENDLESS = (
    "SELECT sum(length(a.l_comment || b.l_comment)) FROM sales.orders.lineitem a "
    "JOIN sales.orders.lineitem b ON a.l_linestatus = b.l_linestatus"
)
# The number of seconds within which a stopped query must end.
SOON = 20

NATIONS = ["n_nationkey", "n_name", "n_regionkey", "n_comment"]


def password_options(user, password):
    return {"username": user, "password": password} if user else {}


def connect(url=None, options=None, **others):
    """Returns a connection, by default with the settings. Cookies carry the session of a client that does not log in."""
    if options is None:
        options = password_options(SETTINGS.user, SETTINGS.password)
        options[DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value] = "true"
    others.setdefault("autocommit", True)
    return dbapi.connect(url or SETTINGS.url, db_kwargs=options, **others)


def with_cursor(check):
    """Returns a check with a cursor of its own connection."""

    def checked():
        with connect() as connection, connection.cursor() as cursor:
            check(cursor)

    return checked


def rows(cursor, sql, parameters=None):
    return cursor.execute(sql, parameters).fetchall()


def one(cursor, sql, parameters=None):
    table = cursor.execute(sql, parameters).fetch_arrow_table()
    same((table.num_rows, table.num_columns), (1, 1))
    return table[0][0].as_py()


def changes(cursor, sql, wanted):
    """Checks the number of rows that an update reports as changed."""
    cursor.executemany(sql, None)
    same((sql, cursor.rowcount), (sql, wanted))


def answers(url, options):
    with connect(url, options) as connection, connection.cursor() as cursor:
        same(one(cursor, "SELECT 1"), 1)


def refused(url, options, secret, kind=adbc_driver_manager.ProgrammingError):
    told = fails(lambda: answers(url, options), kind=kind)
    expect(secret not in told, "a secret in", told)


def by_nobody():
    answers(SETTINGS.anonymous, {})
    with connect(SETTINGS.anonymous, {DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true"}) as connection:
        with connection.cursor() as cursor:
            same(one(cursor, "SELECT 1"), 1)
            rows(cursor, "SET portolan.query_timeout = 77")
            same(one(cursor, "SELECT 2"), 2)


def by_password():
    answers(SETTINGS.url, password_options(SETTINGS.user, SETTINGS.password))
    refused(SETTINGS.url, password_options(SETTINGS.user, "not-this-one"), "not-this-one")
    refused(SETTINGS.url, password_options("nobody", "not-this-one"), "not-this-one")


def by_token():
    def header(token):
        return {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}

    answers(SETTINGS.url, header(SETTINGS.token))
    refused(SETTINGS.url, header("not-a-token"), "not-a-token")


def by_token_as_password():
    answers(SETTINGS.url, password_options(SETTINGS.token_user, SETTINGS.token))


def authority():
    return {DatabaseOptions.TLS_ROOT_CERTS.value: text_of(SETTINGS.ca)}


def by_tls():
    user = password_options(SETTINGS.user, SETTINGS.password)
    answers(SETTINGS.tls, authority() | user)
    fails(lambda: answers(SETTINGS.tls, user), "certificate")
    answers(SETTINGS.tls, {DatabaseOptions.TLS_SKIP_VERIFY.value: "true"} | user)


def by_certificate():
    certificate = {
        DatabaseOptions.MTLS_CERT_CHAIN.value: text_of(SETTINGS.cert),
        DatabaseOptions.MTLS_PRIVATE_KEY.value: text_of(SETTINGS.key),
    }
    answers(SETTINGS.mtls, authority() | certificate)
    fails(lambda: answers(SETTINGS.mtls, authority()))


def by_oauth():
    """The driver fetches a token. It sends such tokens over TLS only."""
    flow = {
        DatabaseOptions.OAUTH_FLOW.value: "client_credentials",
        DatabaseOptions.OAUTH_TOKEN_URI.value: SETTINGS.token_uri,
        DatabaseOptions.OAUTH_CLIENT_ID.value: SETTINGS.client_id,
        DatabaseOptions.OAUTH_CLIENT_SECRET.value: SETTINGS.client_secret,
    }
    answers(SETTINGS.oauth, authority() | flow)
    wrong = {DatabaseOptions.OAUTH_CLIENT_SECRET.value: "not-this-one"}
    fails(lambda: answers(SETTINGS.oauth, authority() | flow | wrong))


@with_cursor
def knows_peers(cursor):
    eventually(lambda: one(cursor, "SELECT count(*) FROM portolan.mesh.ports") >= 5, "the gateway to know its peers")


def objects(connection, **filters):
    """Returns the result of GetObjects as {catalog: {schema: {table: [columns]}}}, with None for levels that were not
    requested."""

    def named(entries, name, below):
        return None if entries is None else {entry[name]: below(entry) for entry in entries}

    def columns(table):
        found = table["table_columns"]
        return None if found is None else [column["column_name"] for column in found]

    def tables(schema):
        return named(schema["db_schema_tables"], "table_name", columns)

    def schemas(catalog):
        return named(catalog["catalog_db_schemas"], "db_schema_name", tables)

    return named(connection.adbc_get_objects(**filters).read_all().to_pylist(), "catalog_name", schemas)


def browse():
    with connect() as connection:
        catalogs = objects(connection, depth="catalogs")
        expect({"geo", "sales", "portolan"} <= catalogs.keys(), catalogs)
        expect(all(schemas is None for schemas in catalogs.values()), catalogs)
        same(objects(connection, depth="catalogs", catalog_filter="g%"), {"geo": None})
        same(objects(connection, depth="catalogs", catalog_filter="_eo"), {"geo": None})
        same(objects(connection, depth="catalogs", catalog_filter="none"), {})

        schemas = objects(connection, depth="db_schemas")
        same(schemas["geo"], {"places": None})
        same(set(schemas["sales"]), {"customers", "orders"})
        expect("mesh" in schemas["portolan"], schemas)
        same(objects(connection, depth="db_schemas", catalog_filter="sales", db_schema_filter="ord%"), {"sales": {"orders": None}})

        tables = objects(connection, depth="tables")
        same(tables["geo"], {"places": {"nation": None, "region": None}})
        found = objects(connection, depth="tables", catalog_filter="sales", table_name_filter="%item")
        same(found["sales"]["orders"], {"lineitem": None})
        found = objects(connection, depth="tables", catalog_filter="geo", table_types_filter=["VIEW"])
        expect(not any(tables for schemas in found.values() for tables in schemas.values()), found)
        found = objects(connection, depth="tables", catalog_filter="geo", table_types_filter=["TABLE", "VIEW"])
        same(set(found["geo"]["places"]), {"nation", "region"})

        for depth in ("columns", "all"):
            found = objects(connection, depth=depth, catalog_filter="geo")
            same(found["geo"]["places"]["nation"], NATIONS)
        found = objects(connection, catalog_filter="geo", table_name_filter="nation", column_name_filter="n_n%")
        same(found["geo"]["places"], {"nation": ["n_nationkey", "n_name"]})

        found = connection.adbc_get_objects(depth="all", catalog_filter="geo", table_name_filter="nation").read_all().to_pylist()
        columns = found[0]["catalog_db_schemas"][0]["db_schema_tables"][0]["table_columns"]
        same([column["ordinal_position"] for column in columns], [1, 2, 3, 4])
        expect(all(column["xdbc_type_name"] for column in columns), columns)


def metadata_getters():
    with connect() as connection:
        info = connection.adbc_get_info()
        expect("portolan" in info["vendor_name"].lower() and info["vendor_version"], info)
        expect("TABLE" in connection.adbc_get_table_types())
        schema = connection.adbc_get_table_schema("nation", catalog_filter="geo", db_schema_filter="places")
        same(schema.names, NATIONS)
        missing = {"catalog_filter": "geo", "db_schema_filter": "places"}
        fails(lambda: connection.adbc_get_table_schema("nations", **missing), "NOT_FOUND", kind=adbc_driver_manager.Error)


def keys():
    with connect() as connection:
        found = connection.adbc_get_objects(table_name_filter="nation").read_all().to_pylist()
        tables = [t for c in found for s in c["catalog_db_schemas"] for t in s["db_schema_tables"]]
        if not any(table["table_constraints"] for table in tables):
            raise Limit("the driver requests no keys")


@with_cursor
def types(cursor):
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 34, 56, 789000)
    utc = datetime.timezone.utc
    for sql, kind, value in [
        ("CAST(1 AS TINYINT)", pa.int8(), 1),
        ("CAST(-2 AS SMALLINT)", pa.int16(), -2),
        ("CAST(3 AS INT)", pa.int32(), 3),
        ("CAST(-9223372036854775808 AS BIGINT)", pa.int64(), -(2**63)),
        ("arrow_cast(255, 'UInt8')", pa.uint8(), 255),
        ("arrow_cast(18446744073709551615, 'UInt64')", pa.uint64(), 2**64 - 1),
        ("CAST(1.5 AS REAL)", pa.float32(), 1.5),
        ("CAST(2.5 AS DOUBLE)", pa.float64(), 2.5),
        ("CAST('1234.56' AS DECIMAL(15, 2))", pa.decimal128(15, 2), decimal.Decimal("1234.56")),
        ("arrow_cast('-0.01', 'Decimal256(50, 2)')", pa.decimal256(50, 2), decimal.Decimal("-0.01")),
        ("TRUE", pa.bool_(), True),
        ("'Übermut'", pa.string(), "Übermut"),
        ("X'00ff'", pa.binary(), b"\x00\xff"),
        ("DATE '2024-02-29'", pa.date32(), day),
        ("arrow_cast('12:34:56', 'Time64(Microsecond)')", pa.time64("us"), datetime.time(12, 34, 56)),
        ("arrow_cast('2024-02-29T12:34:56.789', 'Timestamp(Microsecond, None)')", pa.timestamp("us"), moment),
        (
            "arrow_cast('2024-02-29T12:34:56.789Z', 'Timestamp(Microsecond, Some(\"+00:00\"))')",
            pa.timestamp("us", "+00:00"),
            moment.replace(tzinfo=utc),
        ),
        (
            "arrow_cast('2024-02-29T12:34:56.789Z', 'Timestamp(Microsecond, Some(\"America/New_York\"))')",
            pa.timestamp("us", "America/New_York"),
            moment.replace(tzinfo=utc),
        ),
        ("arrow_cast('view', 'Utf8View')", pa.string(), "view"),
        ("arrow_cast('one', 'Dictionary(Int32, Utf8)')", None, "one"),
        ("CAST(NULL AS INT)", pa.int32(), None),
        ("NULL", None, None),
        ("[1, 2, NULL]", None, [1, 2, None]),
        ("[['a'], []]", None, [["a"], []]),
        ("named_struct('a', 1, 'b', 'x')", None, {"a": 1, "b": "x"}),
        ("named_struct('a', [named_struct('b', DATE '2024-02-29')])", None, {"a": [{"b": day}]}),
        ("INTERVAL '1' MONTH", pa.month_day_nano_interval(), pa.MonthDayNano([1, 0, 0])),
    ]:
        table = cursor.execute(f"SELECT {sql} AS v").fetch_arrow_table()
        same((sql, table["v"].to_pylist()), (sql, [value]))
        expect(kind is None or table.schema.field("v").type == kind, sql, table.schema)


@with_cursor
def schema(cursor):
    """Prepare and GetFlightInfo return the schema that DoGet then sends."""
    for sql in [
        "SELECT * FROM geo.places.nation",
        "SELECT min(n_name) AS least, max(n_nationkey) AS most, count(*) AS n FROM geo.places.nation",
        "SELECT l_shipdate, sum(l_extendedprice * (1 - l_discount)) AS r FROM sales.orders.lineitem GROUP BY 1 ORDER BY 1 LIMIT 3",
        "SELECT * FROM portolan.mesh.ports",
        "SELECT 1 AS a, NULL AS b, 'x' AS c",
    ]:
        prepared = cursor.adbc_execute_schema(sql)
        _, planned = cursor.adbc_execute_partitions(sql)
        sent = cursor.execute(sql).fetch_arrow_table().schema
        expect(prepared.equals(sent, check_metadata=True), sql, prepared, sent)
        expect(planned.equals(sent, check_metadata=True), sql, planned, sent)
        same([column[0] for column in cursor.description or []] or sent.names, sent.names)


@with_cursor
def parameters(cursor):
    nation = "SELECT n_name FROM geo.places.nation WHERE "
    same(rows(cursor, nation + "n_nationkey = ? OR n_name = ? ORDER BY 1", (3, "CHINA")), [("CANADA",), ("CHINA",)])
    same(rows(cursor, nation + "n_nationkey = $2 AND n_name = $1", ("CANADA", 3)), [("CANADA",)])
    same(rows(cursor, nation + "n_nationkey = $1 OR n_regionkey = $1 - 3 ORDER BY 1 LIMIT 2", (3,)), [("ALGERIA",), ("CANADA",)])
    same(rows(cursor, nation + "n_nationkey = ? AND n_name <> '?' /* ? */ -- ?", (3,)), [("CANADA",)])
    twelve = nation + "n_nationkey IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ORDER BY n_nationkey DESC LIMIT 1"
    same(rows(cursor, twelve, tuple(range(12))), [("IRAQ",)])
    in_order = "SELECT " + ", ".join(f"CAST(? AS INT) AS c{i}" for i in range(12))
    same(rows(cursor, in_order, tuple(range(12))), [tuple(range(12))])
    same(one(cursor, "SELECT count(*) FROM geo.places.nation WHERE n_name = ?", (None,)), 0)
    same(one(cursor, "SELECT CAST(? AS BIGINT) + 1", (41,)), 42)
    same(one(cursor, "SELECT CASE WHEN ? > 2 THEN 'more' ELSE 'less' END", (3,)), "more")
    same(one(cursor, "SELECT count(*) FROM geo.places.nation HAVING count(*) > ?", (24,)), 25)
    same(one(cursor, "SELECT count(*) FROM sales.customers.customer WHERE c_nationkey IN "
             "(SELECT n_nationkey FROM geo.places.nation WHERE n_name = ?)", ("CHINA",)) > 0, True)
    fails(lambda: rows(cursor, nation + "n_nationkey = ? AND n_name = ?", (3,)), kind=adbc_driver_manager.Error)
    same(rows(cursor, nation + "n_nationkey = ?", (3,)), [("CANADA",)])


@with_cursor
def parameter_many(cursor):
    for many in (100, 3000):
        places = ", ".join("?" * many)
        nations = f"SELECT count(*) FROM geo.places.nation WHERE n_nationkey IN ({places})"
        same(one(cursor, nations, tuple(range(many))), 25)
    same(len(one(cursor, "SELECT ? AS v", ("x" * 5_000_000,))), 5_000_000)


@with_cursor
def parameter_types(cursor):
    """A value of each type comes back unchanged."""
    moment = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000)
    for kind, value in [
        ("Int8", 1), ("Int64", -(2**63)), ("Float32", 1.5), ("Float64", 2.5), ("Boolean", False),
        ("Utf8", "Übermut'; --"), ("Utf8", ""), ("Binary", b"\x00\xff"), ("Date32", moment.date()),
        ("Time64(Microsecond)", moment.time()), ("Timestamp(Microsecond, None)", moment),
        ("Decimal128(15, 2)", decimal.Decimal("-1234.56")),
    ]:
        same((kind, one(cursor, f"SELECT arrow_cast(?, '{kind}') AS v", (value,))), (kind, value))
        same((kind, one(cursor, f"SELECT arrow_cast(?, '{kind}') AS v", (None,))), (kind, None))
    customer = "SELECT count(*) FROM sales.orders.orders WHERE "
    day = datetime.date(1995, 1, 1)
    before = one(cursor, customer + "o_orderdate < DATE '1995-01-01'")
    same(one(cursor, customer + "o_orderdate < ?", (day,)), before)
    priced = one(cursor, customer + "o_totalprice > 1000.50")
    same(one(cursor, customer + "o_totalprice > ?", (decimal.Decimal("1000.50"),)), priced)
    same(one(cursor, customer + "o_totalprice > ?", (1000.5,)), priced)
    bound = pa.record_batch([pa.array([2**64 - 1], pa.uint64())], names=["0"])
    same(cursor.execute("SELECT arrow_cast(?, 'UInt64')", bound).fetchall(), [(2**64 - 1,)])
    bound = pa.record_batch([pa.array([8], pa.int16())], names=["0"])
    same(cursor.execute(customer + "o_orderkey < ?", bound).fetchall(), [(7,)])


@with_cursor
def parameter_schema(cursor):
    told = cursor.adbc_prepare("SELECT n_name FROM geo.places.nation WHERE n_nationkey = ? AND n_name = ? LIMIT ?")
    same(len(told), 3)
    expect(pa.types.is_integer(told.field(0).type), told)
    expect(pa.types.is_string(told.field(1).type), told)
    expect(pa.types.is_integer(told.field(2).type), told)
    expect(all(field.nullable for field in told), told)
    same(len(cursor.adbc_prepare("SELECT 1")), 0)


@with_cursor
def limit_parameter(cursor):
    ordered = "SELECT n_name FROM geo.places.nation ORDER BY n_nationkey "
    same(rows(cursor, ordered + "LIMIT ?", (2,)), [("ALGERIA",), ("ARGENTINA",)])
    same(rows(cursor, ordered + "LIMIT ? OFFSET ?", (1, 3)), [("CANADA",)])
    same(len(rows(cursor, ordered + "LIMIT ?", (0,))), 0)


@with_cursor
def parameter_batches(cursor):
    """Several rows are bound to one query, which runs for each and returns all rows."""
    bound = pa.record_batch([pa.array([3, 18, 99, 3])], names=["0"])
    nation = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = ?"
    same(cursor.execute(nation, bound).fetchall(), [("CANADA",), ("CHINA",), ("CANADA",)])
    table = pa.table({"0": pa.chunked_array([[3], [18]])})
    same(cursor.execute(nation, table).fetchall(), [("CANADA",), ("CHINA",)])


@with_cursor
def prepared_reuse(cursor):
    nation = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = ?"
    cursor.adbc_prepare(nation)
    for key, name in enumerate(["ALGERIA", "ARGENTINA", "BRAZIL", "CANADA"]):
        same(cursor.execute(nation, (key,)).fetchall(), [(name,)])
    for _ in range(3):
        same(rows(cursor, "SELECT count(*) FROM geo.places.nation"), [(25,)])
    with contextlib.closing(cursor.connection.cursor()) as other:
        other.adbc_prepare(nation)
        same(other.execute(nation, (1,)).fetchall(), [("ARGENTINA",)])
        same(cursor.execute(nation, (2,)).fetchall(), [("BRAZIL",)])
        same(other.execute(nation, (3,)).fetchall(), [("CANADA",)])


@with_cursor
def prepared_replan(cursor):
    """A prepared statement follows its table if the table is replaced by one with other columns."""
    rows(cursor, "CREATE TABLE py_replan (a BIGINT)")
    changes(cursor, "INSERT INTO py_replan VALUES (1)", 1)
    with contextlib.closing(cursor.connection.cursor()) as prepared:
        sql = "SELECT * FROM py_replan"
        prepared.adbc_prepare(sql)
        same(prepared.execute(sql).fetch_arrow_table().to_pylist(), [{"a": 1}])
        rows(cursor, "DROP TABLE py_replan")
        fails(lambda: prepared.execute(sql).fetchall(), "py_replan", kind=adbc_driver_manager.Error)
        rows(cursor, "CREATE TABLE py_replan (b VARCHAR, c INT)")
        changes(cursor, "INSERT INTO py_replan VALUES ('x', 2)", 1)
        same(prepared.execute(sql).fetch_arrow_table().to_pylist(), [{"b": "x", "c": 2}])
    rows(cursor, "DROP TABLE py_replan")


@with_cursor
def prepared_types(cursor):
    """An untyped parameter has the type of each value. A typed one refuses values that would lose digits."""
    for value in (1, "x", 2.5, None, b"q", True, datetime.date(2024, 1, 1), [1, 2], decimal.Decimal("1.5")):
        same(rows(cursor, "SELECT ? AS v", (value,)), [(value,)])
    nation = "SELECT count(*) FROM geo.places.nation WHERE n_nationkey = ?"
    same(one(cursor, nation, ("3",)), 1)
    for wrong in ("x", 3.5):
        fails(lambda: one(cursor, nation, (wrong,)), "$1", kind=adbc_driver_manager.Error)
    for values in ((), (1, 2)):
        fails(lambda: one(cursor, nation, values), kind=adbc_driver_manager.Error)
    fails(lambda: rows(cursor, "SELECT ? AS a, $1 AS b", (1,)), "$1", kind=adbc_driver_manager.Error)


@with_cursor
def concurrency(cursor):
    """Many threads use one connection, each with its own cursor."""

    def doubled(number):
        with cursor.connection.cursor() as own:
            return one(own, "SELECT ? * 2 AS v", (number,))

    def uploaded(number):
        with cursor.connection.cursor() as own:
            return own.adbc_ingest("py_together", pa.table({"id": [number]}), mode="create_append")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        same(list(pool.map(doubled, range(100))), [2 * number for number in range(100)])
        same(sum(pool.map(uploaded, range(50))), 50)
    same(rows(cursor, "SELECT count(*), count(DISTINCT id) FROM py_together"), [(50, 50)])


@with_cursor
def updates(cursor):
    """Creates a table of the session, fills it, changes it, joins it and drops it."""
    rows(cursor, "CREATE TABLE py_people (id BIGINT, name VARCHAR)")
    changes(cursor, "INSERT INTO py_people VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger')", 3)
    changes(cursor, "UPDATE py_people SET name = 'Barbara' WHERE id >= 2", 2)
    changes(cursor, "DELETE FROM py_people WHERE id = 3", 1)
    changes(cursor, "DELETE FROM py_people WHERE id = 99", 0)
    same(rows(cursor, "SELECT id, name FROM py_people ORDER BY id"), [(1, "Ada"), (2, "Barbara")])
    joined = "SELECT name, n_name FROM py_people JOIN geo.places.nation ON n_nationkey = id ORDER BY id"
    same(rows(cursor, joined), [("Ada", "ARGENTINA"), ("Barbara", "BRAZIL")])
    # A driver may run DML as a query: it runs once, whether its result is read or not.
    cursor.execute("INSERT INTO py_people VALUES (20, 'once')")
    same(one(cursor, "SELECT count(*) FROM py_people WHERE id = 20"), 1)
    rows(cursor, "INSERT INTO py_people VALUES (21, 'once')")
    same(one(cursor, "SELECT count(*) FROM py_people WHERE id = 21"), 1)
    rows(cursor, "CREATE TABLE py_asian AS SELECT n_nationkey AS id, n_name FROM geo.places.nation WHERE n_regionkey = 2")
    same(one(cursor, "SELECT count(*) FROM py_asian"), 5)
    found = objects(cursor.connection, depth="tables", catalog_filter="portolan", db_schema_filter="session")
    expect({"py_people", "py_asian"} <= found["portolan"]["session"].keys(), found)
    for table in ("py_people", "py_asian"):
        rows(cursor, f"DROP TABLE {table}")
        fails(lambda: rows(cursor, f"SELECT * FROM {table}"), table, kind=adbc_driver_manager.Error)
    rows(cursor, "DROP TABLE IF EXISTS py_people")


@with_cursor
def update_parameters(cursor):
    """executemany: one INSERT for many rows."""
    rows(cursor, "CREATE TABLE py_many (id BIGINT, name VARCHAR, score DOUBLE)")
    insert = "INSERT INTO py_many VALUES (?, ?, ?)"
    cursor.executemany(insert, [(1, "a", 0.5), (2, None, 1.5), (3, "c", None)])
    same(cursor.rowcount, 3)
    cursor.executemany(insert, [])
    cursor.executemany(insert, pa.table({"0": pa.array(range(10, 2010)), "1": ["x"] * 2000, "2": [1.0] * 2000}))
    same(cursor.rowcount, 2000)
    same(rows(cursor, "SELECT count(*), count(name), count(score), sum(score) FROM py_many"), [(2003, 2002, 2002, 2002.0)])
    cursor.execute("INSERT INTO py_many (id, name) VALUES (?, ?)", (5000, "one"))
    same(rows(cursor, "SELECT * FROM py_many WHERE id = 5000"), [(5000, "one", None)])
    cursor.executemany("UPDATE py_many SET name = ? WHERE id = ?", [("first", 1), ("second", 2), ("none", -1)])
    same(cursor.rowcount, 2)
    same(rows(cursor, "SELECT name FROM py_many WHERE id <= 2 ORDER BY id"), [("first",), ("second",)])
    cursor.executemany("DELETE FROM py_many WHERE id = ?", [(1,), (2,)])
    same(cursor.rowcount, 2)
    rows(cursor, "DROP TABLE py_many")
    names = [f"c{number}" for number in range(20)]
    rows(cursor, f"CREATE TABLE py_wider ({', '.join(name + ' BIGINT' for name in names)})")
    values = pa.table({name: range(40_000) for name in names})
    cursor.executemany(f"INSERT INTO py_wider VALUES ({', '.join('?' * 20)})", values)
    same((cursor.rowcount, one(cursor, "SELECT count(*) FROM py_wider")), (40_000, 40_000))
    rows(cursor, "DROP TABLE py_wider")


@with_cursor
def ingest(cursor):
    two, other = pa.table({"id": [1, 2], "name": ["Ada", None]}), pa.table({"id": [3], "name": ["Grace"]})

    def counted(table):
        return one(cursor, f"SELECT count(*) FROM {table}")

    def loads(table, data, mode, wanted, **options):
        same(cursor.adbc_ingest(table, data, mode=mode, **options), data.num_rows)
        same(counted(table), wanted)

    def refuses(*texts, kind=adbc_driver_manager.Error, **arguments):
        fails(lambda: cursor.adbc_ingest(**arguments), *texts, kind=kind)

    loads("py_list", two, "create", 2)
    refuses("py_list", table_name="py_list", data=other, mode="create")
    same(counted("py_list"), 2)
    loads("py_list", other, "append", 3)
    loads("py_list", other, "create_append", 4)
    loads("py_list", two, "replace", 2)
    loads("py_fresh", other, "create_append", 1)
    loads("py_new", other, "replace", 1)
    refuses("py_missing", table_name="py_missing", data=other, mode="append")
    refuses("py_list", table_name="py_list", data=pa.table({"else": [1]}), mode="append")
    same(counted("py_list"), 2)
    joined = "SELECT id, name, n_name FROM py_list JOIN geo.places.nation ON n_nationkey = id ORDER BY id"
    same(rows(cursor, joined), [(1, "Ada", "ARGENTINA"), (2, None, "BRAZIL")])
    loads("py_temporary", other, "create", 1, temporary=True)
    same(cursor.adbc_ingest("py_named", other, catalog_name="portolan", db_schema_name="session"), 1)
    same(counted("portolan.session.py_named"), 1)
    # A stream of many batches, and one of a batch without rows.
    batches = [pa.record_batch({"id": range(n * 1000, (n + 1) * 1000)}) for n in range(50)]
    stream = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    same(cursor.adbc_ingest("py_stream", stream), 50000)
    same(rows(cursor, "SELECT count(*), min(id), max(id) FROM py_stream"), [(50000, 0, 49999)])
    none = two.to_batches()[0].slice(0, 0)
    same(cursor.adbc_ingest("py_none", none), 0)
    same(counted("py_none"), 0)
    # Targets that are not the session's and accept no rows.
    port = {"catalog_name": "geo", "db_schema_name": "places"}
    refuses("nation", table_name="nation", data=other, mode="append", kind=adbc_driver_manager.Error, **port)
    refuses(table_name="newcomer", data=other, mode="create", **port)
    # Another session does not see the table.
    with connect() as elsewhere, elsewhere.cursor() as stranger:
        fails(lambda: one(stranger, "SELECT count(*) FROM py_list"), "py_list", kind=adbc_driver_manager.Error)


@with_cursor
def ingest_empty(cursor):
    """The driver sends nothing at all, neither columns nor the table's name, for data without any batch."""
    try:
        cursor.adbc_ingest("py_empty", pa.table({"id": pa.array([], pa.int64())}))
    except adbc_driver_manager.Error as error:
        expect("empty" in str(error), error)
        raise Limit("a table without batches is not sent: give it as a record batch") from None
    same(one(cursor, "SELECT count(*) FROM py_empty"), 0)


def broken(batches, columns):
    """Returns this number of batches, and then an error."""
    for _ in range(batches):
        yield pa.record_batch(columns)
    raise RuntimeError("the source fails")


@with_cursor
def ingest_broken_off(cursor):
    """No row is stored of an upload whose source fails halfway. The check repeats, because the end and the cancelling
    may race."""

    def fails_to_load(table, batches, mode):
        stream = pa.RecordBatchReader.from_batches(pa.schema({"id": pa.int64()}), broken(batches, {"id": [9]}))
        fails(lambda: cursor.adbc_ingest(table, stream, mode=mode), kind=adbc_driver_manager.Error)

    cursor.adbc_ingest("py_whole", pa.table({"id": [1, 2, 3, 4, 5]}))
    for attempt in range(20):
        fails_to_load(f"py_broken_{attempt}", 1 + attempt, "create")
        fails_to_load("py_whole", 1 + attempt, "append")
        fails_to_load("py_whole", 1 + attempt, "replace")
        same(rows(cursor, "SELECT count(*), sum(id) FROM py_whole"), [(5, 15)])
    found = objects(cursor.connection, depth="tables", catalog_filter="portolan", table_name_filter="py_broken%")
    expect(not any(found["portolan"].values()), found)


@with_cursor
def ingest_shapes(cursor):
    """Columns are matched by name. If a value does not fit, the table stays as it was."""
    cursor.adbc_ingest("py_shape", pa.table({"a": [1], "b": ["x"]}))
    for fits in [
        {"b": ["y"], "a": [2]},
        {"a": pa.array([3], pa.int32()), "b": ["z"]},
        {"a": [4]},
        {"a": pa.nulls(1), "b": pa.nulls(1)},
    ]:
        same(cursor.adbc_ingest("py_shape", pa.table(fits), mode="append"), 1)
    for misfit in [{"a": [5], "b": ["q"], "c": [1]}, {"a": ["five"], "b": ["q"]}, {"x": [8], "y": ["q"]}, {"a": [1.5], "b": ["q"]}]:
        fails(lambda: cursor.adbc_ingest("py_shape", pa.table(misfit), mode="append"), "py_shape", kind=adbc_driver_manager.Error)
    wanted = [(1, "x"), (2, "y"), (3, "z"), (4, None), (None, None)]
    same(rows(cursor, "SELECT a, b FROM py_shape ORDER BY a NULLS LAST"), wanted)
    cursor.adbc_ingest("Py Quoted", pa.table({"With Space": [1], 'with "quotes"': [2]}))
    same(rows(cursor, 'SELECT "With Space", "with ""quotes""" FROM "Py Quoted"'), [(1, 2)])
    same_names = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    fails(lambda: cursor.adbc_ingest("py_same", same_names), kind=adbc_driver_manager.Error)


@with_cursor
def ingest_large(cursor):
    """Uploads as many batches as necessary. One batch is one message, which the driver limits to 16 MiB."""
    large = pa.table({"id": range(1_000_000), "name": ["some text here"] * 1_000_000})
    same(cursor.adbc_ingest("py_large", large.to_reader(max_chunksize=100_000)), 1_000_000)
    same(rows(cursor, "SELECT count(*), max(id) FROM py_large"), [(1_000_000, 999_999)])
    fails(lambda: cursor.adbc_ingest("py_larger", large), "larger than", kind=adbc_driver_manager.Error)
    rows(cursor, "DROP TABLE py_large")
    # Columns of one message share its memory, which must be counted once: 50 MB here.
    wide = pa.table({f"c{number}": range(60_000) for number in range(20)})
    for _ in range(5):
        same(cursor.adbc_ingest("py_wide", wide, mode="create_append"), 60_000)
    rows(cursor, "DROP TABLE py_wide")


@with_cursor
def ingest_types(cursor):
    """Ingested values come back unchanged."""
    moment = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000)
    columns = {
        "b": pa.array([True, None]),
        "i8": pa.array([1, None], pa.int8()),
        "i64": pa.array([-(2**63), None]),
        "u64": pa.array([2**64 - 1, None], pa.uint64()),
        "f32": pa.array([1.5, None], pa.float32()),
        "f64": pa.array([2.5, None]),
        "s": pa.array(["Übermut", None]),
        "bin": pa.array([b"\x00", None]),
        "d": pa.array([moment.date(), None]),
        "t": pa.array([moment.time(), None]),
        "ts": pa.array([moment, None]),
        "tz": pa.array([moment, None], pa.timestamp("us", "UTC")),
        "dec": pa.array([decimal.Decimal("-1.25"), None], pa.decimal128(15, 2)),
        "l": pa.array([[1, None], None], pa.list_(pa.int64())),
        "st": pa.array([{"a": 1, "b": "x"}, None]),
        "dict": pa.array(["one", None]).dictionary_encode(),
        "large": pa.array(["large", None], pa.large_string()),
        "view": pa.array(["view", None], pa.string_view()),
        "With Space": pa.array([1, None]),
    }
    table = pa.table(columns)
    same(cursor.adbc_ingest("py_types", table), 2)
    back = cursor.execute("SELECT * FROM py_types").fetch_arrow_table()
    same(back.to_pylist(), table.to_pylist())
    same(one(cursor, 'SELECT count("With Space") FROM py_types'), 1)


def ingest_port():
    """Appends to a port that accepts rows."""
    domain, product, port = SETTINGS.writable.split(".")
    with connect() as connection, connection.cursor() as cursor:
        before = one(cursor, f"SELECT count(*) FROM {SETTINGS.writable}")
        two = pa.table({"id": [1, 2], "name": ["Ada", "Grace"]})
        where = {"catalog_name": domain, "db_schema_name": product}
        same(cursor.adbc_ingest(port, two, mode="append", **where), 2)
        same(one(cursor, f"SELECT count(*) FROM {SETTINGS.writable}"), before + 2)
        changes(cursor, f"INSERT INTO {SETTINGS.writable} VALUES (3, 'Edsger')", 1)
        same(one(cursor, f"SELECT count(*) FROM {SETTINGS.writable}"), before + 3)
        cursor.executemany(f"INSERT INTO {SETTINGS.writable} VALUES (?, ?)", [(4, "Barbara"), (5, None)])
        same((cursor.rowcount, one(cursor, f"SELECT count(*) FROM {SETTINGS.writable}")), (2, before + 5))
        for mode in ("create", "replace"):
            fails(lambda: cursor.adbc_ingest(port, two, mode=mode, **where), port, kind=adbc_driver_manager.Error)
        for sql in ("UPDATE {} SET id = 0", "DELETE FROM {}", "DROP TABLE {}"):
            fails(lambda: rows(cursor, sql.format(SETTINGS.writable)), port, kind=adbc_driver_manager.Error)
        fails(lambda: cursor.adbc_ingest(port, pa.table({"id": ["six"]}), mode="append", **where), kind=adbc_driver_manager.Error)
        for batches in range(1, 20):
            stream = pa.RecordBatchReader.from_batches(two.schema, broken(batches, {"id": [9], "name": ["broken"]}))
            fails(lambda: cursor.adbc_ingest(port, stream, mode="append", **where), kind=adbc_driver_manager.Error)
        same(one(cursor, f"SELECT count(*) FROM {SETTINGS.writable}"), before + 5)


def transactions():
    """The driver refuses transactions, because the server reports none. The DBAPI warns, and continues."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        connection = connect(autocommit=False)
    with connection, connection.cursor() as cursor:
        expect(any("Cannot disable autocommit" in str(warning.message) for warning in warned), warned)
        same(one(cursor, "SELECT 1"), 1)
        connection.commit()
        connection.rollback()
        fails(connection.adbc_connection.commit, kind=adbc_driver_manager.Error)
        fails(connection.adbc_connection.rollback, kind=adbc_driver_manager.Error)
        options = {"adbc.connection.autocommit": "false"}
        fails(lambda: connection.adbc_connection.set_options(**options), kind=adbc_driver_manager.NotSupportedError)
        same(one(cursor, "SELECT 1"), 1)


def stopped(attempt, stop, *texts):
    """Checks that a stopped attempt ends soon."""
    timer = threading.Timer(1.5, stop) if stop else None
    started = time.monotonic()
    if timer:
        timer.start()
    fails(attempt, *texts, kind=adbc_driver_manager.Error)
    expect(time.monotonic() - started < SOON, "expected an end, got it after", time.monotonic() - started)
    if timer:
        timer.join()


@with_cursor
def cancel(cursor):
    """adbc_cancel from another thread, before the first row and between rows, and a cursor that is closed early."""
    stopped(lambda: rows(cursor, ENDLESS), cursor.adbc_cancel, "ancel")
    same(one(cursor, "SELECT 1"), 1)
    many = "SELECT a.l_orderkey FROM sales.orders.lineitem a CROSS JOIN sales.orders.lineitem b"
    reader = cursor.execute(many).fetch_record_batch()
    reader.read_next_batch()

    def to_the_end():
        try:
            for _ in reader:
                pass
        except (pa.ArrowException, OSError) as error:
            raise adbc_driver_manager.OperationalError(str(error), status_code=adbc_driver_manager.AdbcStatusCode.CANCELLED)

    stopped(to_the_end, cursor.adbc_cancel)
    with cursor.connection.cursor() as dropped:
        dropped.execute(many).fetchone()
    same(one(cursor, "SELECT 1"), 1)


@with_cursor
def cancel_statement(cursor):
    """CALL mesh.cancel_query for a query that another connection runs."""
    with connect() as connection, connection.cursor() as victim:

        def stop():
            running = "SELECT query_id FROM portolan.mesh.queries WHERE statement = ?"
            for (query,) in rows(cursor, running, (ENDLESS,)):
                rows(cursor, f"CALL mesh.cancel_query('{query}')")

        stopped(lambda: rows(victim, ENDLESS), stop)
        same(one(victim, "SELECT 1"), 1)


@with_cursor
def timeouts(cursor):
    """The driver's own timeouts, which are gRPC deadlines, and the server's."""
    limited = {StatementOptions.TIMEOUT_QUERY.value: 2.0, StatementOptions.TIMEOUT_FETCH.value: 2.0}
    with cursor.connection.cursor() as hurried:
        hurried.adbc_statement.set_options(**limited)
        stopped(lambda: rows(hurried, ENDLESS), None, "TIMEOUT")
    rows(cursor, "SET portolan.query_timeout = 2")
    stopped(lambda: rows(cursor, ENDLESS), None)
    same(one(cursor, "SELECT 1"), 1)


@with_cursor
def session_catalog(cursor):
    connection = cursor.connection
    connection.adbc_current_catalog = "geo"
    connection.adbc_current_db_schema = "places"
    same((connection.adbc_current_catalog, connection.adbc_current_db_schema), ("geo", "places"))
    same(one(cursor, "SELECT count(*) FROM nation"), 25)
    same(one(cursor, "SELECT count(*) FROM places.nation"), 25)
    same(one(cursor, "SELECT count(*) FROM sales.customers.customer"), 1500)
    rows(cursor, "SET catalog = sales")
    rows(cursor, "SET schema = orders")
    same((connection.adbc_current_catalog, connection.adbc_current_db_schema), ("sales", "orders"))
    same(one(cursor, "SELECT count(*) FROM lineitem"), 60175)


@with_cursor
def session_options(cursor):
    low = cursor.connection.adbc_connection

    def option(prefix, name):
        return prefix.value + name

    plain, erase = ConnectionOptions.OPTION_SESSION_OPTION_PREFIX, ConnectionOptions.OPTION_ERASE_SESSION_OPTION_PREFIX
    low.set_options(**{option(plain, "catalog"): "geo"})
    same(low.get_option(option(plain, "catalog")), "geo")
    low.set_options(**{option(plain, "portolan.query_timeout"): "60"})
    told = json.loads(low.get_option(ConnectionOptions.OPTION_SESSION_OPTIONS.value))
    same(told["catalog"], "geo")
    expect("portolan.query_timeout" in told, told)
    low.set_options(**{option(erase, "catalog"): ""})
    expect(json.loads(low.get_option(ConnectionOptions.OPTION_SESSION_OPTIONS.value)).get("catalog") != "geo")
    unknown = {option(plain, "no_such_option"): "x"}
    fails(lambda: low.set_options(**unknown), "no_such_option", kind=adbc_driver_manager.Error)
    wrong = {option(plain, "portolan.query_timeout"): "soon"}
    fails(lambda: low.set_options(**wrong), "query_timeout", kind=adbc_driver_manager.Error)


def resident():
    """Returns the current memory of this process in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


@with_cursor
def large_results(cursor):
    """A small result as a whole, and a large one batch by batch in little memory."""
    table = cursor.execute("SELECT * FROM sales.orders.lineitem").fetch_arrow_table()
    same((table.num_rows, table.num_columns), (60175, 16))
    del table
    same(len(rows(cursor, "SELECT l_orderkey, l_comment FROM sales.orders.lineitem LIMIT 20000")), 20000)
    gc.collect()
    before, seen, size, most = resident(), 0, 0, 0
    reader = cursor.execute(
        "SELECT a.l_comment, a.l_orderkey, n_comment FROM sales.orders.lineitem a CROSS JOIN geo.places.nation"
    ).fetch_record_batch()
    for batch in reader:
        seen, size, most = seen + batch.num_rows, size + batch.nbytes, max(most, resident() - before)
    same(seen, 25 * 60175)
    expect(most < size // 2 + (64 << 20), f"{most} bytes held for a result of {size}")


@with_cursor
def partitions(cursor):
    """A result in parts, each over its own connection, like a cluster of readers."""
    parts, schema = cursor.adbc_execute_partitions("SELECT l_orderkey FROM sales.orders.lineitem")
    same(schema.names, ["l_orderkey"])
    seen = 0
    for part in parts:
        with connect() if SETTINGS.user else contextlib.nullcontext(cursor.connection) as other, other.cursor() as reader:
            reader.adbc_read_partition(part)
            seen += reader.fetch_arrow_table().num_rows
    same(seen, 60175)


@with_cursor
def empty_results(cursor):
    none = "SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0"
    table = cursor.execute(none).fetch_arrow_table()
    same((table.num_rows, table.column_names), (0, ["n_name", "n_nationkey"]))
    same(rows(cursor, none), [])
    same([column[0] for column in cursor.description], ["n_name", "n_nationkey"])
    same(cursor.execute(none).fetchone(), None)


@with_cursor
def duplicate_names(cursor):
    joined = "SELECT n.n_name, m.n_name FROM geo.places.nation n JOIN geo.places.nation m ON n.n_nationkey = m.n_nationkey "
    table = cursor.execute(joined + "WHERE n.n_nationkey = 3").fetch_arrow_table()
    same((table.column_names, table.num_rows), (["n_name", "n_name"], 1))
    table = cursor.execute("SELECT 1 AS a, 'x' AS a").fetch_arrow_table()
    same((table.column_names, [column[0].as_py() for column in table.columns]), (["a", "a"], [1, "x"]))
    same(rows(cursor, "SELECT 1 AS a, 'x' AS a"), [(1, "x")])


@with_cursor
def errors(cursor):
    for sql, code, texts in [
        ("SELEC 1", "INVALID_ARGUMENT", []),
        ("SELECT n_nam FROM geo.places.nation", "INVALID_ARGUMENT", ["n_nam", "n_name"]),
        ("SELECT * FROM geo.places.nations", "NOT_FOUND", ["nations", "geo.places.nation"]),
        ("SELECT CAST('x' AS INT)", "INVALID_ARGUMENT", []),
        ("SELECT CAST(c_name AS INT) FROM sales.customers.customer", "INVALID_ARGUMENT", []),
        ("-- nothing", "INVALID_ARGUMENT", []),
        ("SELECT 1; SELECT 2", "INVALID_ARGUMENT", []),
        ("INSERT INTO geo.places.region VALUES (9, 'x', 'y')", "UNAUTHORIZED|NOT_IMPLEMENTED", ["region"]),
    ]:
        try:
            got = rows(cursor, sql)
        except adbc_driver_manager.Error as error:
            expect(error.status_code.name in code.split("|"), f"expected {code} of {sql}, got", error)
            expect(all(text in str(error) for text in texts), sql, error)
        else:
            raise AssertionError(f"expected an error of {sql}, got {got}")
    same(one(cursor, "SELECT 1"), 1)


WAYS = [
    ("connect-anonymous", SETTINGS.anonymous, by_nobody),
    ("connect-password", SETTINGS.user, by_password),
    ("connect-token", SETTINGS.token, by_token),
    ("connect-token-as-password", SETTINGS.token, by_token_as_password),
    ("connect-tls", SETTINGS.tls, by_tls),
    ("connect-mtls", SETTINGS.mtls, by_certificate),
    ("connect-oauth", SETTINGS.oauth, by_oauth),
]
FEATURES = [
    ("browse", browse),
    ("metadata-getters", metadata_getters),
    ("keys", keys),
    ("types", types),
    ("schema", schema),
    ("parameters", parameters),
    ("parameter-many", parameter_many),
    ("parameter-types", parameter_types),
    ("parameter-schema", parameter_schema),
    ("limit-parameter", limit_parameter),
    ("parameter-batches", parameter_batches),
    ("prepared-reuse", prepared_reuse),
    ("prepared-types", prepared_types),
    ("prepared-replan", prepared_replan),
    ("concurrency", concurrency),
    ("updates", updates),
    ("update-parameters", update_parameters),
    ("ingest", ingest),
    ("ingest-types", ingest_types),
    ("ingest-empty", ingest_empty),
    ("ingest-shapes", ingest_shapes),
    ("ingest-large", ingest_large),
    ("ingest-broken-off", ingest_broken_off),
    ("transactions", transactions),
    ("session-catalog", session_catalog),
    ("session-options", session_options),
    ("large-results", large_results),
    ("partitions", partitions),
    ("empty-results", empty_results),
    ("duplicate-names", duplicate_names),
    ("errors", errors),
    ("cancel", cancel),
    ("cancel-statement", cancel_statement),
    ("timeouts", timeouts),
]

if __name__ == "__main__":
    knows_peers()
    checks = [(feature, check) for feature, given, check in WAYS if given] + FEATURES
    if SETTINGS.writable:
        checks.append(("ingest-port", ingest_port))
    run("adbc-driver-flightsql", SETTINGS.only, checks)
