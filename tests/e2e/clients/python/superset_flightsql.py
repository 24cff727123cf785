"""flightsql-dbapi as Superset uses it: SQLAlchemy's dialect `datafusion+flightsql`, as --user if one is given."""

import datetime
import warnings

import flightsql.sqlalchemy  # registers the dialect
import sqlalchemy
from flightsql import FlightSQLClient, connect as dbapi_connect
from sqlalchemy.engine import URL

from report import Limit, eventually, expect, fails, run, same, settings, text_of

SETTINGS = settings()


def engine_at(url, user=None, password=None, insecure=True, connect_args=None, **query):
    host, _, port = url.split("://")[1].rpartition(":")
    query = query | ({"insecure": "true"} if insecure else {})
    address = URL.create("datafusion+flightsql", user or None, password or None, host, int(port), query=query)
    return sqlalchemy.create_engine(address, connect_args=connect_args or {})


def engine(**query):
    return engine_at(SETTINGS.url, SETTINGS.user, SETTINGS.password, **query)


def rows(connection, sql, **parameters):
    return [tuple(row) for row in connection.execute(sqlalchemy.text(sql), parameters).fetchall()]


def with_connection(check):
    def checked():
        with engine().connect() as connection:
            check(connection)

    return checked


def answers(made):
    with made.connect() as connection:
        same(rows(connection, "SELECT 1 AS one"), [(1,)])


def by_nobody():
    """The client sends `Bearer None`."""
    answers(engine_at(SETTINGS.anonymous))


def by_password():
    answers(engine_at(SETTINGS.url, SETTINGS.user, SETTINGS.password))
    told = fails(lambda: answers(engine_at(SETTINGS.url, SETTINGS.user, "not-this-one")))
    expect("not-this-one" not in told, told)


def by_token():
    answers(engine_at(SETTINGS.url, token=SETTINGS.token))
    fails(lambda: answers(engine_at(SETTINGS.url, token="not-a-token")))


def by_token_as_password():
    answers(engine_at(SETTINGS.url, SETTINGS.token_user, SETTINGS.token))


def by_tls():
    host, _, port = SETTINGS.tls.split("://")[1].rpartition(":")
    user = {"user": SETTINGS.user, "password": SETTINGS.password}
    client = FlightSQLClient(host, int(port), tls_root_certs=text_of(SETTINGS.ca), **user)
    with dbapi_connect(client) as connection:
        same(connection.cursor().execute("SELECT 1").fetchall(), [[1]])
    unchecked = {"insecure": False, "disable_server_verification": "true"}
    answers(engine_at(SETTINGS.tls, SETTINGS.user, SETTINGS.password, **unchecked))


@with_connection
def knows_peers(connection):
    counted = "SELECT count(*) AS n FROM portolan.mesh.ports"
    eventually(lambda: rows(connection, counted)[0][0] >= 5, "the gateway to know its peers")


def browse():
    """The queries of Superset's dialogs: schemas, tables of one, columns of a table."""
    inspector = sqlalchemy.inspect(engine())
    schemas = inspector.get_schema_names()
    expect({"places", "orders", "customers", "mesh"} <= set(schemas), schemas)
    same(sorted(inspector.get_table_names("places")), ["nation", "region"])
    same(inspector.get_view_names("places"), [])
    expect("lineitem" in inspector.get_table_names(), "lineitem among all tables")
    columns = inspector.get_columns("nation", "places")
    same([column["name"] for column in columns], ["n_nationkey", "n_name", "n_regionkey", "n_comment"])
    same([str(column["type"]) for column in columns[:2]], ["BIGINT", "TEXT"])
    expect(inspector.has_table("nation", "places") and not inspector.has_table("nations", "places"))
    same(inspector.get_indexes("nation", "places"), [])


def keys():
    inspector = sqlalchemy.inspect(engine(**{"feature-sqlalchemy-primary-keys": "on"}))
    found = inspector.get_pk_constraint("nation", "places")
    expect(found["constrained_columns"] in ([], ["n_nationkey"]), found)


def metadata_getters():
    made = engine()
    with made.connect() as connection:
        told = connection.dialect.sql_info
        expect("portolan" in told[0].lower() and told[504] == '"', told)
        same(connection.dialect.identifier_preparer.quote("with space"), '"with space"')


@with_connection
def queries(connection):
    """The query of a Superset chart: full names, date functions, aggregates, labels with spaces, a limit."""
    sql = (
        "SELECT date_trunc('month', o_orderdate) AS __timestamp, n_name AS \"Nation's name\", SUM(o_totalprice) AS \"SUM(o_totalprice)\", "
        "COUNT(DISTINCT c_custkey) AS customers FROM sales.orders.orders JOIN sales.customers.customer ON o_custkey = c_custkey "
        "JOIN geo.places.nation ON c_nationkey = n_nationkey "
        "WHERE o_orderdate >= TO_TIMESTAMP('1995-01-01 00:00:00.000000') AND o_orderdate < TO_TIMESTAMP('1995-04-01 00:00:00') "
        "GROUP BY date_trunc('month', o_orderdate), n_name ORDER BY \"SUM(o_totalprice)\" DESC LIMIT 50"
    )
    result = connection.execute(sqlalchemy.text(sql))
    same(list(result.keys()), ["__timestamp", "Nation's name", "SUM(o_totalprice)", "customers"])
    same(len(result.fetchall()), 50)
    # A virtual data set is a query in parentheses.
    virtual = "SELECT n_name, count(*) AS n FROM (SELECT * FROM geo.places.nation) AS virtual_table GROUP BY n_name LIMIT 1000"
    same(len(rows(connection, virtual)), 25)
    nation = sqlalchemy.Table("nation", sqlalchemy.MetaData(), sqlalchemy.Column("n_name"), schema="geo.places")
    nation.schema = sqlalchemy.sql.quoted_name("geo.places", quote=False)
    query = sqlalchemy.select([nation.c.n_name]).where(nation.c.n_name.like("C%")).order_by(nation.c.n_name).limit(2)
    same([tuple(row) for row in connection.execute(query)], [("CANADA",), ("CHINA",)])


@with_connection
def types(connection):
    sql = (
        "SELECT CAST(1 AS INT) AS i, CAST(2.5 AS DOUBLE) AS f, 'x' AS s, TRUE AS b, DATE '2024-02-29' AS d, "
        "arrow_cast('2024-02-29T12:34:56', 'Timestamp(Microsecond, None)') AS ts, CAST('1.50' AS DECIMAL(15, 2)) AS n, NULL AS nothing"
    )
    ((i, f, s, b, d, ts, n, nothing),) = rows(connection, sql)
    same((i, f, s, b, str(n), nothing), (1, 2.5, "x", True, "1.50", None))
    same(d.date() if hasattr(d, "date") else d, datetime.date(2024, 2, 29))
    same(ts.to_pydatetime(), datetime.datetime(2024, 2, 29, 12, 34, 56))


@with_connection
def schema(connection):
    """The query that Superset writes for a table from its lists: with the schema, and without a catalog."""
    try:
        same(rows(connection, "SELECT count(*) FROM places.nation"), [(25,)])
    except Exception as error:
        expect("geo.places.nation" in str(error), error)
        raise Limit("it knows no catalogs: data sets must be queries with whole names") from None


@with_connection
def literal_parameters(connection):
    """By default, the dialect puts the values into the SQL, but only those that are bound before the query runs."""
    sql = sqlalchemy.text("SELECT n_name FROM geo.places.nation WHERE n_nationkey = :key OR n_name = :name ORDER BY 1")
    found = connection.execute(sql.bindparams(key=3, name="CHINA")).fetchall()
    same([tuple(row) for row in found], [("CANADA",), ("CHINA",)])


def parameters():
    """Prepared statements, if enabled. Each value is sent as a dense union of five types."""
    with engine(**{"feature-sqlalchemy-prepared-statements": "on"}).connect() as connection:
        sql = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = :key OR n_name = :name ORDER BY 1"
        same(rows(connection, sql, key=3, name="CHINA"), [("CANADA",), ("CHINA",)])
        same(rows(connection, "SELECT n_name FROM geo.places.nation ORDER BY n_nationkey LIMIT :n", n=1), [("ALGERIA",)])
        nation = "SELECT count(*) FROM geo.places.nation WHERE "
        same(rows(connection, nation + "(n_nationkey > :a) = :b", a=4, b=True), [(20,)])
        same(rows(connection, "SELECT count(*) FROM sales.customers.customer WHERE c_acctbal > :a", a=-9999.5), [(1500,)])


@with_connection
def updates(connection):
    """The dialect runs every statement as a query. Its client also has an update."""
    if SETTINGS.user:
        rows_changed = connection.connection.client.execute_update
        rows_changed("CREATE TABLE alchemy_people (id BIGINT, name VARCHAR)")
        same(rows_changed("INSERT INTO alchemy_people VALUES (1, 'Ada'), (2, 'Grace')"), 2)
        same(rows(connection, "SELECT name FROM alchemy_people ORDER BY id"), [("Ada",), ("Grace",)])
        connection.execute(sqlalchemy.text("INSERT INTO alchemy_people VALUES (3, 'Edsger')"))
        same(rows(connection, "SELECT count(*) FROM alchemy_people"), [(3,)])
        rows_changed("DROP TABLE alchemy_people")
    else:
        raise Limit("it keeps no cookies, and has a session only after a log-in")


@with_connection
def session_catalog(connection):
    if not SETTINGS.user:
        raise Limit("it keeps no cookies, and has a session only after a log-in")
    rows(connection, "SET catalog = geo")
    same(rows(connection, "SELECT count(*) FROM places.nation"), [(25,)])
    inspector = sqlalchemy.inspect(connection)
    table = sqlalchemy.Table("nation", sqlalchemy.MetaData(), schema="places", autoload_with=connection)
    same(len(connection.execute(sqlalchemy.select([table])).fetchall()), 25)
    expect("nation" in inspector.get_table_names("places"))


@with_connection
def large_results(connection):
    same(len(rows(connection, "SELECT * FROM sales.orders.lineitem")), 60175)


@with_connection
def empty_results(connection):
    result = connection.execute(sqlalchemy.text("SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0"))
    same((list(result.keys()), result.fetchall()), (["n_name", "n_nationkey"], []))


@with_connection
def duplicate_names(connection):
    got = rows(connection, "SELECT 1 AS a, 'x' AS a")
    if got != [(1, "x")]:
        same(got, [("1", "x")])
        raise Limit("columns of the same name get the same type: give them names")


@with_connection
def errors(connection):
    fails(lambda: rows(connection, "SELECT n_nam FROM geo.places.nation"), "n_name")
    fails(lambda: rows(connection, "SELECT * FROM geo.places.nations"), "geo.places.nation")
    same(rows(connection, "SELECT 1 AS one"), [(1,)])


if __name__ == "__main__":
    # The dialect is written for SQLAlchemy 1.4, and warns at every step.
    warnings.simplefilter("ignore")
    knows_peers()
    ways = [
        ("connect-anonymous", SETTINGS.anonymous, by_nobody),
        ("connect-password", SETTINGS.user, by_password),
        ("connect-token", SETTINGS.token, by_token),
        ("connect-token-as-password", SETTINGS.token, by_token_as_password),
        ("connect-tls", SETTINGS.tls, by_tls),
    ]
    checks = [(feature, check) for feature, given, check in ways if given] + [
        ("browse", browse),
        ("keys", keys),
        ("metadata-getters", metadata_getters),
        ("queries", queries),
        ("types", types),
        ("schema-names", schema),
        ("literal-parameters", literal_parameters),
        ("parameters", parameters),
        ("updates", updates),
        ("session-catalog", session_catalog),
        ("large-results", large_results),
        ("empty-results", empty_results),
        ("duplicate-names", duplicate_names),
        ("errors", errors),
    ]
    run("flightsql-dbapi", SETTINGS.only, checks)
