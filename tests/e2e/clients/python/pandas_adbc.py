"""pandas over ADBC's driver for Flight SQL: read_sql, read_sql_table and to_sql, as --user if one is given."""

import datetime

import adbc_driver_flightsql.dbapi as dbapi
import numpy as np
import pandas as pd
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
        same(pd.read_sql("SELECT 1 AS one", connection)["one"].tolist(), [1])


@with_connection
def knows_peers(connection):
    counted = "SELECT count(*) AS n FROM portolan.mesh.ports"
    eventually(lambda: pd.read_sql(counted, connection)["n"][0] >= 5, "the gateway to know its peers")


@with_connection
def browse(connection):
    """read_sql_table checks for the table before it reads it, and read_sql also accepts a table's name."""
    catalog = {"schema": "places"}
    connection.adbc_current_catalog = "geo"
    connection.adbc_current_db_schema = "places"
    nations = pd.read_sql_table("nation", connection, **catalog)
    same(nations.shape, (25, 4))
    same(pd.read_sql_table("nation", connection, columns=["n_name"], **catalog).columns.tolist(), ["n_name"])
    same(pd.read_sql_table("region", connection, index_col="r_regionkey", **catalog).index.tolist(), [0, 1, 2, 3, 4])
    same(len(pd.read_sql("nation", connection)), 25)
    fails(lambda: pd.read_sql_table("nations", connection, **catalog), "nations")


@with_connection
def queries(connection):
    """read_sql with an index, with Arrow's types and with a join of two domains."""
    joined = pd.read_sql(
        "SELECT n_name, sum(c_acctbal) AS balance, count(*) AS customers FROM sales.customers.customer "
        "JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name",
        connection,
        index_col="n_name",
    )
    same((len(joined), joined.index[0], int(joined["customers"].sum())), (25, "ALGERIA", 1500))
    arrow = pd.read_sql("SELECT n_nationkey, n_name FROM geo.places.nation", connection, dtype_backend="pyarrow")
    expect(all(isinstance(kind, pd.ArrowDtype) for kind in arrow.dtypes), arrow.dtypes)


@with_connection
def types(connection):
    frame = pd.read_sql(
        "SELECT CAST(1 AS INT) AS i, CAST(2.5 AS DOUBLE) AS f, 'x' AS s, TRUE AS b, DATE '2024-02-29' AS d, "
        "arrow_cast('2024-02-29T12:34:56', 'Timestamp(Microsecond, None)') AS ts, "
        "arrow_cast('2024-02-29T12:34:56Z', 'Timestamp(Microsecond, Some(\"UTC\"))') AS tz, "
        "CAST('1.50' AS DECIMAL(15, 2)) AS n, CAST(NULL AS DOUBLE) AS nothing, [1, 2] AS l",
        connection,
    )
    kinds = frame.dtypes.astype(str).to_dict()
    same((kinds["i"], kinds["f"], kinds["b"]), ("int32", "float64", "bool"))
    expect(kinds["ts"].startswith("datetime64[") and "UTC" in kinds["tz"], kinds)
    row = frame.iloc[0]
    same((row["s"], row["d"], str(row["n"]), list(row["l"])), ("x", datetime.date(2024, 2, 29), "1.50", [1, 2]))
    same(row["ts"], pd.Timestamp("2024-02-29T12:34:56"))
    expect(pd.isna(row["nothing"]), row)


@with_connection
def parameters(connection):
    """pandas refuses parameters over ADBC. The connection's own cursor accepts them, and also returns a frame."""
    nation = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = ?"
    with connection.cursor() as cursor:
        same(cursor.execute(nation, (3,)).fetch_df()["n_name"].tolist(), ["CANADA"])
    try:
        same(pd.read_sql(nation, connection, params=(3,))["n_name"].tolist(), ["CANADA"])
    except NotImplementedError:
        raise Limit("read_sql takes no params over ADBC: cursor.execute(…).fetch_df() does") from None


def frame():
    return pd.DataFrame({
        "id": [1, 2, 3],
        "name": ["Ada", None, "Grace"],
        "score": [0.5, np.nan, 1.5],
        "born": pd.to_datetime(["1815-12-10", None, "1906-12-09"]),
        "active": [True, False, True],
    })


@with_connection
def ingest(connection):
    """to_sql in every way, and its table joined with the mesh."""

    def counted(table):
        return int(pd.read_sql(f"SELECT count(*) AS n FROM {table}", connection)["n"][0])

    people = frame()
    same(people.to_sql("pd_people", connection, index=False), 3)
    same(counted("pd_people"), 3)
    fails(lambda: people.to_sql("pd_people", connection, index=False), "pd_people", kind=ValueError)
    same(people.to_sql("pd_people", connection, index=False, if_exists="append"), 3)
    same(counted("pd_people"), 6)
    same(people.head(2).to_sql("pd_people", connection, index=False, if_exists="replace"), 2)
    same(counted("pd_people"), 2)
    same(people.to_sql("pd_people", connection, index=False, if_exists="delete_rows"), 3)
    same(counted("pd_people"), 3)
    same(people.to_sql("pd_fresh", connection, index=False, if_exists="append"), 3)
    same(people.to_sql("pd_other", connection, index=False, if_exists="replace"), 3)
    same(people.rename_axis("at").to_sql("pd_indexed", connection, if_exists="replace"), 3)
    same(pd.read_sql("SELECT min(at) AS a, max(at) AS b FROM pd_indexed", connection).iloc[0].tolist(), [0, 2])
    many = pd.DataFrame({"id": np.arange(100_000), "name": "x"})
    same(many.to_sql("pd_many", connection, index=False), 100_000)
    same(counted("pd_many"), 100_000)
    joined = pd.read_sql(
        "SELECT name, n_name FROM pd_fresh JOIN geo.places.nation ON n_nationkey = id WHERE name IS NOT NULL ORDER BY id", connection
    )
    same(joined["n_name"].tolist(), ["ARGENTINA", "CANADA"])


@with_connection
def ingest_types(connection):
    people = frame()
    people.to_sql("pd_types", connection, index=False, if_exists="replace")
    back = pd.read_sql("SELECT * FROM pd_types ORDER BY id", connection)
    same(back["id"].tolist(), [1, 2, 3])
    same((back["name"].isna().tolist(), back["name"].dropna().tolist()), ([False, True, False], ["Ada", "Grace"]))
    expect(back["score"].isna().tolist() == [False, True, False], back)
    same([str(day)[:10] for day in back["born"]], ["1815-12-10", "NaT", "1906-12-09"])
    same(back["active"].tolist(), [True, False, True])


@with_connection
def ingest_empty(connection):
    try:
        frame().head(0).to_sql("pd_none", connection, index=False)
    except pd.errors.DatabaseError as error:
        expect("empty" in str(error.__cause__), error.__cause__)
        raise Limit("the driver sends nothing of a frame without rows: CREATE TABLE") from None
    same(len(pd.read_sql("SELECT * FROM pd_none", connection)), 0)


@with_connection
def large_results(connection):
    same(pd.read_sql("SELECT * FROM sales.orders.lineitem", connection).shape, (60175, 16))
    fails(lambda: next(pd.read_sql("SELECT 1", connection, chunksize=10)), "chunksize", kind=NotImplementedError)


@with_connection
def empty_results(connection):
    none = pd.read_sql("SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0", connection)
    same((len(none), none.columns.tolist()), (0, ["n_name", "n_nationkey"]))


@with_connection
def duplicate_names(connection):
    got = pd.read_sql("SELECT 1 AS a, 'x' AS a", connection)
    same(got.columns.tolist(), ["a", "a"])
    if got.iloc[0].tolist() != [1, "x"]:
        same([str(value) for value in got.iloc[0]], ["1", "x"])
        raise Limit("columns of the same name get the same type: give them names")


@with_connection
def errors(connection):
    fails(lambda: pd.read_sql("SELECT n_nam FROM geo.places.nation", connection), "n_name")
    same(pd.read_sql("SELECT 1 AS one", connection)["one"].tolist(), [1])


if __name__ == "__main__":
    knows_peers()
    ways = [
        ("connect-anonymous", SETTINGS.anonymous, lambda: answers(SETTINGS.anonymous, {})),
        ("connect-password", SETTINGS.user, lambda: answers(SETTINGS.url, log_in())),
    ]
    checks = [(feature, check) for feature, given, check in ways if given] + [
        ("browse", browse),
        ("queries", queries),
        ("types", types),
        ("parameters", parameters),
        ("ingest", ingest),
        ("ingest-types", ingest_types),
        ("ingest-empty", ingest_empty),
        ("large-results", large_results),
        ("empty-results", empty_results),
        ("duplicate-names", duplicate_names),
        ("errors", errors),
    ]
    run("pandas", SETTINGS.only, checks)
