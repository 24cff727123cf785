"""polars over ADBC's driver for Flight SQL: read_database, read_database_uri and write_database, as --user if one is given."""

import datetime
import decimal
import warnings

import adbc_driver_flightsql.dbapi as dbapi
import polars as pl
from adbc_driver_flightsql import DatabaseOptions

from report import Limit, eventually, expect, fails, run, same, settings

SETTINGS = settings()


def connect(url, options):
    return dbapi.connect(url, db_kwargs=options, autocommit=True)


def log_in():
    return {"username": SETTINGS.user, "password": SETTINGS.password}


def with_connection(check):
    def checked():
        options = log_in() if SETTINGS.user else {DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true"}
        with connect(SETTINGS.url, options) as connection:
            check(connection)

    return checked


def answers(url, options):
    with connect(url, options) as connection:
        same(pl.read_database("SELECT 1 AS one", connection)["one"].to_list(), [1])


def read(connection, sql, *parameters):
    options = {"parameters": list(parameters)} if parameters else None
    return pl.read_database(sql, connection, execute_options=options)


def connect_uri():
    """read_database_uri reads the driver's name from the scheme of the address, and does not know Flight SQL's driver."""
    warnings.simplefilter("ignore")  # polars opens its connection with transactions, which the server does not have
    for url in (SETTINGS.anonymous, SETTINGS.anonymous.replace("grpc+tcp", "flightsql")):
        try:
            same(pl.read_database_uri("SELECT 1 AS one", url, engine="adbc")["one"].to_list(), [1])
            return
        except Exception as error:
            told = error
    raise Limit(f"read_database_uri takes no such address ({type(told).__name__}): read_database with a connection")


@with_connection
def knows_peers(connection):
    counted = "SELECT count(*) AS n FROM portolan.mesh.ports"
    eventually(lambda: read(connection, counted)["n"][0] >= 5, "the gateway to know its peers")


@with_connection
def queries(connection):
    joined = read(
        connection,
        "SELECT n_name, sum(c_acctbal) AS balance, count(*) AS customers FROM sales.customers.customer "
        "JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name",
    )
    same((joined.height, joined["n_name"][0], joined["customers"].sum()), (25, "ALGERIA", 1500))
    same(joined.schema["balance"].is_decimal(), True)
    with connection.cursor() as cursor:
        same(cursor.execute("SELECT n_name FROM geo.places.nation").fetch_polars().height, 25)


@with_connection
def types(connection):
    frame = read(
        connection,
        "SELECT CAST(1 AS INT) AS i, arrow_cast(18446744073709551615, 'UInt64') AS u, CAST(2.5 AS DOUBLE) AS f, 'x' AS s, TRUE AS b, "
        "X'00ff' AS bin, DATE '2024-02-29' AS d, arrow_cast('12:34:56', 'Time64(Microsecond)') AS t, "
        "arrow_cast('2024-02-29T12:34:56', 'Timestamp(Microsecond, None)') AS ts, "
        "arrow_cast('2024-02-29T12:34:56Z', 'Timestamp(Microsecond, Some(\"UTC\"))') AS tz, "
        "CAST('1.50' AS DECIMAL(15, 2)) AS n, CAST(NULL AS DOUBLE) AS nothing, NULL AS none, [1, 2] AS l, named_struct('a', 1) AS st",
    )
    moment = datetime.datetime(2024, 2, 29, 12, 34, 56)
    wanted = {
        "i": (pl.Int32, 1),
        "u": (pl.UInt64, 2**64 - 1),
        "f": (pl.Float64, 2.5),
        "s": (pl.String, "x"),
        "b": (pl.Boolean, True),
        "bin": (pl.Binary, b"\x00\xff"),
        "d": (pl.Date, moment.date()),
        "t": (pl.Time, moment.time()),
        "ts": (pl.Datetime("us"), moment),
        "tz": (pl.Datetime("us", "UTC"), moment.replace(tzinfo=datetime.timezone.utc)),
        "n": (pl.Decimal(15, 2), decimal.Decimal("1.50")),
        "nothing": (pl.Float64, None),
        "none": (pl.Null, None),
        "l": (pl.List(pl.Int64), [1, 2]),
        "st": (pl.Struct({"a": pl.Int64}), {"a": 1}),
    }
    same(dict(zip(frame.columns, zip(frame.dtypes, frame.row(0)))), wanted)


@with_connection
def parameters(connection):
    nation = "SELECT n_name FROM geo.places.nation WHERE "
    same(read(connection, nation + "n_nationkey = ?", 3)["n_name"].to_list(), ["CANADA"])
    found = read(connection, nation + "n_nationkey = $1 OR n_name = $2 ORDER BY 1", 3, "CHINA")
    same(found["n_name"].to_list(), ["CANADA", "CHINA"])
    same(read(connection, nation + "n_name = ?", None).height, 0)


@with_connection
def limit_parameter(connection):
    found = read(connection, "SELECT n_name FROM geo.places.nation ORDER BY 1 LIMIT ?", 2)
    same(found["n_name"].to_list(), ["ALGERIA", "ARGENTINA"])


def frame():
    return pl.DataFrame({
        "id": [1, 2, 3],
        "name": ["Ada", None, "Grace"],
        "score": [0.5, None, 1.5],
        "born": [datetime.date(1815, 12, 10), None, datetime.date(1906, 12, 9)],
        "at": [datetime.datetime(2024, 2, 29, 12), None, datetime.datetime(2024, 3, 1)],
        "tags": [["a", "b"], [], None],
        "kind": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
    })


@with_connection
def ingest(connection):
    """write_database in every way, and its table joined with the mesh."""
    people = frame()

    def writes(table, mode, wanted, data=people, **options):
        same(data.write_database(table, connection, engine="adbc", if_table_exists=mode, **options), data.height)
        same(read(connection, f"SELECT count(*) AS n FROM {table}")["n"][0], wanted)

    writes("pl_people", "fail", 3)
    fails(lambda: people.write_database("pl_people", connection, engine="adbc"), "pl_people")
    writes("pl_people", "append", 6)
    writes("pl_people", "replace", 2, people.head(2))
    writes("pl_fresh", "append", 3)
    writes("pl_other", "replace", 3)
    writes("portolan.session.pl_named", "fail", 3)
    writes("portolan.session.pl_named", "append", 6)
    writes("pl_temporary", "fail", 3, engine_options={"temporary": True})
    writes("pl_many", "fail", 200_000, pl.DataFrame({"id": range(200_000)}))
    joined = read(
        connection, "SELECT name, n_name FROM pl_fresh JOIN geo.places.nation ON n_nationkey = id WHERE name IS NOT NULL ORDER BY id"
    )
    same(joined["n_name"].to_list(), ["ARGENTINA", "CANADA"])


@with_connection
def ingest_types(connection):
    people = frame()
    people.write_database("pl_types", connection, engine="adbc")
    back = read(connection, "SELECT * FROM pl_types ORDER BY id")
    same(back.to_dicts(), people.to_dicts())
    people.clear().write_database("pl_none", connection, engine="adbc")
    none = read(connection, "SELECT * FROM pl_none")
    same((none.height, none.columns), (0, people.columns))


@with_connection
def large_results(connection):
    whole = read(connection, "SELECT * FROM sales.orders.lineitem")
    same(whole.shape, (60175, 16))
    parts = pl.read_database("SELECT * FROM sales.orders.lineitem", connection, iter_batches=True, batch_size=10_000)
    same(sum(part.height for part in parts), 60175)


@with_connection
def empty_results(connection):
    none = read(connection, "SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0")
    same(none.schema, pl.Schema({"n_name": pl.String, "n_nationkey": none.schema["n_nationkey"]}))
    expect(none.schema["n_nationkey"].is_integer() and none.height == 0, none)


@with_connection
def duplicate_names(connection):
    """A polars frame has unique names, so polars refuses such a result, or renames its columns."""
    joined = (
        "SELECT n.n_name, m.n_name FROM geo.places.nation n JOIN geo.places.nation m ON n.n_nationkey = m.n_nationkey "
        "WHERE n.n_nationkey = 3"
    )
    try:
        got = read(connection, joined)
    except Exception as error:
        expect("n_name" in str(error) and "more than one" in str(error), error)
        raise Limit("a frame has each name once: give the columns names") from None
    expect(got.width == 2, got)


@with_connection
def errors(connection):
    fails(lambda: read(connection, "SELECT n_nam FROM geo.places.nation"), "n_name")
    same(read(connection, "SELECT 1 AS one")["one"].to_list(), [1])


if __name__ == "__main__":
    knows_peers()
    ways = [
        ("connect-anonymous", SETTINGS.anonymous, lambda: answers(SETTINGS.anonymous, {})),
        ("connect-password", SETTINGS.user, lambda: answers(SETTINGS.url, log_in())),
        ("connect-uri", SETTINGS.anonymous, connect_uri),
    ]
    checks = [(feature, check) for feature, given, check in ways if given] + [
        ("queries", queries),
        ("types", types),
        ("parameters", parameters),
        ("limit-parameter", limit_parameter),
        ("ingest", ingest),
        ("ingest-types", ingest_types),
        ("large-results", large_results),
        ("empty-results", empty_results),
        ("duplicate-names", duplicate_names),
        ("errors", errors),
    ]
    run("polars", SETTINGS.only, checks)
