"""DuckDB with ADBC's driver for Flight SQL: DuckDB reads the Arrow stream of the driver, and the driver uploads
DuckDB's results. DuckDB itself does not use Flight SQL here, because its ADBC extensions are not in the package.
DuckDB's SQL finds the streams as Python's variables, by name."""

import adbc_driver_flightsql.dbapi as dbapi
import duckdb
from adbc_driver_flightsql import DatabaseOptions

from report import eventually, fails, run, same, settings

SETTINGS = settings()


def connect(url, options):
    return dbapi.connect(url, db_kwargs=options, autocommit=True)


def log_in():
    return {"username": SETTINGS.user, "password": SETTINGS.password}


def with_cursors(check):
    """Returns a check with a cursor at the node, and a DuckDB database."""

    def checked():
        options = log_in() if SETTINGS.user else {DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true"}
        with connect(SETTINGS.url, options) as connection, connection.cursor() as cursor, duckdb.connect() as duck:
            check(cursor, duck)

    return checked


def answers(url, options):
    with connect(url, options) as connection, connection.cursor() as cursor, duckdb.connect() as duck:
        remote = cursor.execute("SELECT 1 AS one").fetch_record_batch()
        same(duck.execute("SELECT one FROM remote").fetchall(), [(1,)])


@with_cursors
def knows_peers(cursor, _):
    counted = "SELECT count(*) FROM portolan.mesh.ports"
    eventually(lambda: cursor.execute(counted).fetchone()[0] >= 5, "the gateway to know its peers")


@with_cursors
def queries(cursor, duck):
    """A stream of the mesh, joined with a DuckDB table while it arrives."""
    duck.execute("CREATE TABLE chosen AS SELECT * FROM (VALUES (3, 'a'), (18, 'b')) AS t (key, label)")
    nations = cursor.execute("SELECT n_nationkey, n_name FROM geo.places.nation").fetch_record_batch()
    joined = duck.execute("SELECT n_name, label FROM nations JOIN chosen ON key = n_nationkey ORDER BY 1").fetchall()
    same(joined, [("CANADA", "a"), ("CHINA", "b")])


@with_cursors
def types(cursor, duck):
    stream = cursor.execute(
        "SELECT CAST(1 AS INT) AS i, arrow_cast(18446744073709551615, 'UInt64') AS u, CAST(2.5 AS DOUBLE) AS f, 'x' AS s, TRUE AS b, "
        "X'00ff' AS bin, DATE '2024-02-29' AS d, arrow_cast('2024-02-29T12:34:56', 'Timestamp(Microsecond, None)') AS ts, "
        "arrow_cast('2024-02-29T12:34:56Z', 'Timestamp(Microsecond, Some(\"UTC\"))') AS tz, CAST('1.50' AS DECIMAL(15, 2)) AS n, "
        "CAST(NULL AS DOUBLE) AS nothing, [1, 2] AS l, named_struct('a', 1) AS st, INTERVAL '1' MONTH AS iv"
    ).fetch_record_batch()
    kinds = [str(kind) for _, kind, *_ in duck.execute("DESCRIBE SELECT * FROM stream").fetchall()]
    wanted = ["INTEGER", "UBIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "BLOB", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE",
              "DECIMAL(15,2)", "DOUBLE", "BIGINT[]", "STRUCT(a BIGINT)", "INTERVAL"]
    same(kinds, wanted)


@with_cursors
def parameters(cursor, duck):
    found = cursor.execute("SELECT n_name FROM geo.places.nation WHERE n_nationkey = ?", (3,)).fetch_record_batch()
    same(duck.execute("SELECT * FROM found").fetchall(), [("CANADA",)])


@with_cursors
def ingest(cursor, duck):
    """A DuckDB relation, uploaded batch by batch and joined with the mesh."""
    duck.execute("CREATE TABLE made AS SELECT range AS id, 'row ' || range AS name, range / 2 AS half FROM range(100000)")
    same(cursor.adbc_ingest("duck_list", duck.sql("SELECT * FROM made").to_arrow_reader(), mode="create"), 100_000)
    same(cursor.adbc_ingest("duck_list", duck.sql("SELECT * FROM made LIMIT 10"), mode="append"), 10)
    same(cursor.execute("SELECT count(*), count(DISTINCT id) FROM duck_list").fetchall(), [(100_010, 100_000)])
    joined = "SELECT count(*) FROM duck_list JOIN geo.places.nation ON n_nationkey = id WHERE id > 9"
    same(cursor.execute(joined).fetchall(), [(15,)])


@with_cursors
def large_results(cursor, duck):
    """All batches of a large result, and the first batches of one that is not read to its end."""
    lines = cursor.execute("SELECT * FROM sales.orders.lineitem").fetch_record_batch()
    same(duck.execute("SELECT count(*), count(DISTINCT l_orderkey) FROM lines").fetchall(), [(60175, 15000)])
    lines = cursor.execute("SELECT l_orderkey FROM sales.orders.lineitem").fetch_record_batch()
    same(len(duck.execute("SELECT * FROM lines LIMIT 5").fetchall()), 5)
    del lines
    same(cursor.execute("SELECT 1").fetchall(), [(1,)])


@with_cursors
def empty_results(cursor, duck):
    none = cursor.execute("SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0").fetch_record_batch()
    got = duck.execute("SELECT * FROM none")
    same(([column[0] for column in got.description], got.fetchall()), (["n_name", "n_nationkey"], []))


@with_cursors
def duplicate_names(cursor, duck):
    twice = cursor.execute("SELECT 1 AS a, 'x' AS a").fetch_record_batch()
    same(duck.execute("SELECT * FROM twice").fetchall(), [(1, "x")])


@with_cursors
def errors(cursor, duck):
    """An error that occurs while DuckDB reads is passed on to DuckDB."""
    broken = "SELECT 1 / (c_custkey - 1400) AS x FROM sales.customers.customer"

    def read():
        stream = cursor.execute(broken).fetch_record_batch()
        return duck.execute("SELECT sum(x) FROM stream").fetchall()

    fails(read, "ivision by zero")
    same(cursor.execute("SELECT 1").fetchall(), [(1,)])


if __name__ == "__main__":
    knows_peers()
    ways = [
        ("connect-anonymous", SETTINGS.anonymous, lambda: answers(SETTINGS.anonymous, {})),
        ("connect-password", SETTINGS.user, lambda: answers(SETTINGS.url, log_in())),
    ]
    checks = [(feature, check) for feature, given, check in ways if given] + [
        ("queries", queries),
        ("types", types),
        ("parameters", parameters),
        ("ingest", ingest),
        ("large-results", large_results),
        ("empty-results", empty_results),
        ("duplicate-names", duplicate_names),
        ("errors", errors),
    ]
    run("duckdb", SETTINGS.only, checks)
