"""pyarrow's Flight client, which does not know Flight SQL: the messages are built by hand, as --user if one is given."""

import threading
import time

import pyarrow as pa
import pyarrow.flight as flight

from report import eventually, expect, fails, run, same, settings, text_of

SETTINGS = settings()

ENDLESS = (
    "SELECT sum(length(a.l_comment || b.l_comment)) FROM sales.orders.lineitem a "
    "JOIN sales.orders.lineitem b ON a.l_linestatus = b.l_linestatus"
)
# The number of seconds within which a stopped query must end.
SOON = 20


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """Encodes a field of a protobuf message: an integer, a string, bytes or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(data):
    """Decodes the fields of a protobuf message, the last of each number, as integers and bytes."""
    fields, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            fields[tag >> 3] = number()
        else:
            expect(tag & 7 == 2, "a field of another kind", tag)
            length = number()
            fields[tag >> 3], at = bytes(data[at : at + length]), at + length
    return fields


def any_of(kind, value=b""):
    return field(1, f"type.googleapis.com/arrow.flight.protocol.sql.{kind}") + field(2, value)


def inside(data):
    """Returns the message in an Any."""
    return message(message(data).get(2, b""))


def statement(sql):
    return any_of("CommandStatementQuery", field(1, sql))


def tables(catalog=None, schema=None, table=None, types=(), schemas=False):
    filters = [(1, catalog), (2, schema), (3, table)]
    value = b"".join(field(number, text) for number, text in filters if text is not None)
    return any_of("CommandGetTables", value + b"".join(field(4, kind) for kind in types) + field(5, int(schemas)))


class Client:
    """A connection with the options that its calls need."""

    def __init__(self, url, user=None, password=None, token=None, **options):
        self.client = flight.FlightClient(url, middleware=[Cookies()], **options)
        headers = self.headers = []
        if token is not None:
            headers.append((b"authorization", b"Bearer " + token.encode()))
        elif user:
            headers.append(self.client.authenticate_basic_token(user, password))
        self.options = flight.FlightCallOptions(headers=headers, timeout=100)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def info(self, command):
        return self.client.get_flight_info(flight.FlightDescriptor.for_command(command), self.options)

    def schema(self, command):
        return self.client.get_schema(flight.FlightDescriptor.for_command(command), self.options).schema

    def command(self, command):
        """Returns the rows of a command. GetSchema and GetFlightInfo must return the schema that DoGet then sends."""
        info = self.info(command)
        expect(len(info.endpoints) >= 1, info)
        found = [self.client.do_get(endpoint.ticket, self.options).read_all() for endpoint in info.endpoints]
        for told in (info.schema, self.schema(command)):
            expect(all(table.schema.equals(told, check_metadata=True) for table in found), told, found[0].schema)
        return pa.concat_tables(found)

    def ask(self, sql):
        return self.command(statement(sql))

    def act(self, kind, body):
        return [bytes(result.body) for result in self.client.do_action(flight.Action(kind, body), self.options)]

    def put(self, command, batch):
        """Returns the response of DoPut to a batch."""
        descriptor = flight.FlightDescriptor.for_command(command)
        writer, reader = self.client.do_put(descriptor, batch.schema, self.options)
        writer.write_batch(batch)
        writer.done_writing()
        answer = reader.read()
        writer.close()
        return message(bytes(answer)) if answer else {}

    def update(self, sql):
        """Runs an update, and returns the number of changed rows."""
        nothing = pa.record_batch([], schema=pa.schema([]))
        return self.put(any_of("CommandStatementUpdate", field(1, sql)), nothing).get(1, 0)


class Cookies(flight.ClientMiddlewareFactory):
    """Keeps the cookies of a server, which give a client without a login its session."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def start_call(self, info):
        return Call(self.kept)


class Call(flight.ClientMiddleware):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def sending_headers(self):
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.kept.items())} if self.kept else {}

    def received_headers(self, headers):
        for cookie in headers.get("set-cookie", []):
            name, _, value = cookie.split(";")[0].partition("=")
            self.kept[name] = value


def connect():
    return Client(SETTINGS.url, SETTINGS.user, SETTINGS.password)


def with_client(check):
    def checked():
        with connect() as client:
            check(client)

    return checked


def answers(*arguments, **options):
    with Client(*arguments, **options) as client:
        same(client.ask("SELECT 1 AS one").to_pydict(), {"one": [1]})


def by_nobody():
    answers(SETTINGS.anonymous)
    answers(SETTINGS.anonymous, token="None")
    with Client(SETTINGS.anonymous) as client:
        client.ask("SELECT 1 AS one")
        client.update("SET portolan.query_timeout = 77")
        client.ask("SELECT 2 AS two")


def by_password():
    answers(SETTINGS.url, SETTINGS.user, SETTINGS.password)
    told = fails(lambda: answers(SETTINGS.url, SETTINGS.user, "not-this-one"), kind=flight.FlightUnauthenticatedError)
    expect("not-this-one" not in told, told)
    fails(lambda: answers(SETTINGS.url), kind=flight.FlightUnauthenticatedError)


def by_token():
    answers(SETTINGS.url, token=SETTINGS.token)
    told = fails(lambda: answers(SETTINGS.url, token="not-a-token"), kind=flight.FlightUnauthenticatedError)
    expect("not-a-token" not in told, told)


def by_token_as_password():
    answers(SETTINGS.url, SETTINGS.token_user, SETTINGS.token)


def by_tls():
    ca = text_of(SETTINGS.ca)
    answers(SETTINGS.tls, SETTINGS.user, SETTINGS.password, tls_root_certs=ca)
    fails(lambda: answers(SETTINGS.tls, SETTINGS.user, SETTINGS.password))


def by_certificate():
    ca = text_of(SETTINGS.ca)
    answers(SETTINGS.mtls, tls_root_certs=ca, cert_chain=text_of(SETTINGS.cert), private_key=text_of(SETTINGS.key))
    fails(lambda: answers(SETTINGS.mtls, tls_root_certs=ca))


@with_client
def knows_peers(client):
    counted = "SELECT count(*) AS n FROM portolan.mesh.ports"
    eventually(lambda: client.ask(counted)["n"][0].as_py() >= 5, "the gateway to know its peers")


@with_client
def browse(client):
    catalogs = client.command(any_of("CommandGetCatalogs"))["catalog_name"].to_pylist()
    expect({"geo", "sales", "portolan"} <= set(catalogs), catalogs)
    schemas = client.command(any_of("CommandGetDbSchemas", field(1, "sales"))).to_pylist()
    same([row["db_schema_name"] for row in schemas], ["customers", "orders"])
    schemas = client.command(any_of("CommandGetDbSchemas", field(2, "pl%"))).to_pylist()
    same(schemas, [{"catalog_name": "geo", "db_schema_name": "places"}])

    def names(**filters):
        return client.command(tables(**filters))["table_name"].to_pylist()

    same(names(catalog="geo"), ["nation", "region"])
    same(names(catalog="geo", table="n\\_tion"), [])
    same(names(catalog="geo", table="n_tion"), ["nation"])
    same(names(catalog="", table="nation"), [])
    same(names(catalog="geo", types=["TABLE"]), ["nation", "region"])
    same(names(catalog="geo", types=["VIEW"]), [])
    expect({"nation", "lineitem"} <= set(names()), names())
    found = client.command(tables(catalog="geo", table="nation", schemas=True))["table_schema"][0].as_py()
    same(pa.ipc.read_schema(pa.py_buffer(found)).names, ["n_nationkey", "n_name", "n_regionkey", "n_comment"])


@with_client
def metadata_getters(client):
    expect("TABLE" in client.command(any_of("CommandGetTableTypes"))["table_type"].to_pylist())
    info = {row["info_name"]: row["value"] for row in client.command(any_of("CommandGetSqlInfo")).to_pylist()}
    expect("portolan" in info[0].lower(), info)
    named = client.command(any_of("CommandGetSqlInfo", field(1, 0) + field(1, 8))).to_pylist()
    same(sorted(row["info_name"] for row in named), [0, 8])
    types = client.command(any_of("CommandGetXdbcTypeInfo"))
    expect("VARCHAR" in types["type_name"].to_pylist() and types.num_columns == 19, types)


@with_client
def keys(client):
    nation = field(1, "geo") + field(2, "places") + field(3, "nation")
    for command in ("CommandGetPrimaryKeys", "CommandGetImportedKeys", "CommandGetExportedKeys"):
        found = client.command(any_of(command, nation))
        expect(found.num_columns in (6, 13), found)
    pair = nation + field(4, "geo") + field(5, "places") + field(6, "region")
    same(client.command(any_of("CommandGetCrossReference", pair)).num_columns, 13)


@with_client
def queries(client):
    nations = client.ask(
        "SELECT n_name, count(*) AS customers FROM sales.customers.customer "
        "JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name"
    )
    same((nations.num_rows, nations["n_name"][0].as_py()), (25, "ALGERIA"))
    same(sum(nations["customers"].to_pylist()), 1500)


@with_client
def schema(client):
    """`command` compares the three ways to read a schema, here for results whose schemas often differ."""
    for sql in [
        "SELECT * FROM geo.places.nation",
        "SELECT min(n_name) AS least, max(n_nationkey) AS most, count(*) AS n FROM geo.places.nation",
        "SELECT n_regionkey, n_name FROM geo.places.nation WHERE false",
        "SELECT * FROM portolan.mesh.ports",
        "SELECT 1 AS a, NULL AS b, 'x' AS c, now() AS d, [1] AS e, named_struct('a', 1) AS f, INTERVAL '1' DAY AS g",
        "SELECT n.n_name, m.n_name FROM geo.places.nation n LEFT JOIN geo.places.nation m ON n.n_nationkey = m.n_regionkey",
        "SELECT l_shipdate, sum(l_extendedprice * (1 - l_discount)) AS r FROM sales.orders.lineitem GROUP BY 1 ORDER BY 1 LIMIT 3",
        "VALUES (1, 'x'), (2, NULL)",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM geo.places.nation",
    ]:
        client.ask(sql)


@with_client
def parameters(client):
    """Prepare, bind and run, by hand."""
    sql = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = ? OR n_name = ? ORDER BY 1"
    (made,) = client.act("CreatePreparedStatement", any_of("ActionCreatePreparedStatementRequest", field(1, sql)))
    made = inside(made)
    handle = made[1]
    same(pa.ipc.read_schema(pa.py_buffer(made[2])).names, ["n_name"])
    same(len(pa.ipc.read_schema(pa.py_buffer(made[3]))), 2)
    prepared = any_of("CommandPreparedStatementQuery", field(1, handle))
    for values, wanted in [((3, "CHINA"), ["CANADA", "CHINA"]), ((2, None), ["BRAZIL"])]:
        bound = pa.record_batch([pa.array([value]) for value in values], names=["0", "1"])
        same(client.put(prepared, bound).get(1, handle), handle)
        same(client.command(prepared)["n_name"].to_pylist(), wanted)
    client.act("ClosePreparedStatement", any_of("ActionClosePreparedStatementRequest", field(1, handle)))
    fails(lambda: client.info(prepared), kind=pa.ArrowException)


@with_client
def updates(client):
    client.ask("SELECT 1 AS one")
    client.update("CREATE TABLE flight_people (id BIGINT, name VARCHAR)")
    same(client.update("INSERT INTO flight_people VALUES (1, 'Ada'), (2, 'Grace')"), 2)
    same(client.update("UPDATE flight_people SET name = 'Barbara' WHERE id = 2"), 1)
    same(client.update("DELETE FROM flight_people WHERE id = 99"), 0)
    same(client.ask("SELECT * FROM flight_people ORDER BY id").to_pydict(), {"id": [1, 2], "name": ["Ada", "Barbara"]})
    client.update("DROP TABLE flight_people")
    fails(lambda: client.ask("SELECT * FROM flight_people"), "flight_people", kind=pa.ArrowException)


@with_client
def ingest(client):
    client.ask("SELECT 1 AS one")
    # The table is created if it does not exist, and rows are appended.
    options = field(1, field(1, 1) + field(2, 2))
    command = any_of("CommandStatementIngest", options + field(2, "flight_list"))
    batch = pa.record_batch({"id": [1, 2, 3]})
    for wanted in (3, 6):
        same(client.put(command, batch).get(1, 0), 3)
        same(client.ask("SELECT count(*) AS n FROM flight_list")["n"].to_pylist(), [wanted])


@with_client
def actions(client):
    offered = {action.type for action in client.client.list_actions(client.options)}
    needed = {"CreatePreparedStatement", "ClosePreparedStatement", "CancelFlightInfo"}
    needed |= {"SetSessionOptions", "GetSessionOptions", "CloseSession"}
    expect(needed <= offered, needed - offered)
    fails(lambda: client.act("NoSuchAction", b""), kind=pa.ArrowException)


@with_client
def transactions(client):
    fails(lambda: client.act("BeginTransaction", any_of("ActionBeginTransactionRequest")), kind=NotImplementedError)


@with_client
def session_catalog(client):
    """SetSessionOptions, whose body is not an Any, sets the catalog and the schema of the names that follow."""
    client.ask("SELECT 1 AS one")

    def option(name, value):
        return field(1, field(1, name) + field(2, field(1, value)))

    (answer,) = client.act("SetSessionOptions", option("catalog", "geo") + option("schema", "places"))
    same(message(answer), {})
    same(client.ask("SELECT count(*) AS n FROM nation")["n"].to_pylist(), [25])
    (answer,) = client.act("GetSessionOptions", b"")
    expect(b"catalog" in answer and b"geo" in answer, answer)
    (answer,) = client.act("SetSessionOptions", option("no_such_option", "x"))
    expect(b"no_such_option" in answer, answer)
    (answer,) = client.act("CloseSession", b"")
    same(message(answer).get(1), 1)


def read(reader):
    """Reads to the end. `read_all` treats a cancelled stream as a Ctrl-C."""
    try:
        while True:
            reader.read_chunk()
    except StopIteration:
        return


def stopped(attempt, stop):
    """Checks that a stopped attempt ends soon."""
    timer = threading.Timer(1.5, stop)
    started = time.monotonic()
    timer.start()
    fails(attempt, kind=(pa.ArrowException, OSError))
    expect(time.monotonic() - started < SOON, "expected an end, got it after", time.monotonic() - started)
    timer.join()


@with_client
def cancel(client):
    """The stream's own cancel, and the action CancelFlightInfo."""
    info = client.info(statement(ENDLESS))
    reader = client.client.do_get(info.endpoints[0].ticket, client.options)
    stopped(lambda: read(reader), reader.cancel)
    info = client.info(statement(ENDLESS))
    reader = client.client.do_get(info.endpoints[0].ticket, client.options)
    said = []
    stopped(lambda: read(reader), lambda: said.append(client.act("CancelFlightInfo", field(1, info.serialize()))))
    same(message(said[0][0]).get(1), 1)
    same(client.ask("SELECT 1 AS one")["one"].to_pylist(), [1])


@with_client
def timeouts(client):
    ticket = client.info(statement(ENDLESS)).endpoints[0].ticket
    hurried = flight.FlightCallOptions(headers=client.headers, timeout=2)
    stopped(lambda: read(client.client.do_get(ticket, hurried)), lambda: None)
    client.update("SET portolan.query_timeout = 2")
    stopped(lambda: client.ask(ENDLESS), lambda: None)


@with_client
def large_results(client):
    lines = client.ask("SELECT * FROM sales.orders.lineitem")
    same((lines.num_rows, lines.num_columns), (60175, 16))


@with_client
def empty_results(client):
    none = client.ask("SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0")
    same((none.num_rows, none.column_names), (0, ["n_name", "n_nationkey"]))


@with_client
def duplicate_names(client):
    got = client.ask("SELECT 1 AS a, 'x' AS a")
    same((got.column_names, [column.to_pylist() for column in got.columns]), (["a", "a"], [[1], ["x"]]))


@with_client
def errors(client):
    for sql, kind, texts in [
        ("SELECT * FROM sales.orders.lineitems", pa.ArrowKeyError, ["sales.orders.lineitem"]),
        ("SELECT n_nam FROM geo.places.nation", pa.ArrowInvalid, ["n_name"]),
        ("SELEC 1", pa.ArrowInvalid, []),
        ("", pa.ArrowInvalid, []),
        ("SELECT CAST('x' AS INT)", pa.ArrowInvalid, []),
    ]:
        fails(lambda: client.ask(sql), *texts, kind=kind)
    fails(lambda: client.client.do_get(flight.Ticket(b"no such ticket"), client.options).read_all(), kind=pa.ArrowException)
    fails(lambda: client.info(b"no command"), kind=pa.ArrowException)
    same(client.ask("SELECT 1 AS one")["one"].to_pylist(), [1])


WAYS = [
    ("connect-anonymous", SETTINGS.anonymous, by_nobody),
    ("connect-password", SETTINGS.user, by_password),
    ("connect-token", SETTINGS.token, by_token),
    ("connect-token-as-password", SETTINGS.token, by_token_as_password),
    ("connect-tls", SETTINGS.tls, by_tls),
    ("connect-mtls", SETTINGS.mtls, by_certificate),
]
FEATURES = [
    ("browse", browse),
    ("metadata-getters", metadata_getters),
    ("keys", keys),
    ("queries", queries),
    ("schema", schema),
    ("parameters", parameters),
    ("updates", updates),
    ("ingest", ingest),
    ("actions", actions),
    ("transactions", transactions),
    ("session-catalog", session_catalog),
    ("cancel", cancel),
    ("timeouts", timeouts),
    ("large-results", large_results),
    ("empty-results", empty_results),
    ("duplicate-names", duplicate_names),
    ("errors", errors),
]

if __name__ == "__main__":
    knows_peers()
    run("pyarrow", SETTINGS.only, [(feature, check) for feature, given, check in WAYS if given] + FEATURES)
