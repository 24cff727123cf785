"""pyarrow's Flight client, which knows no Flight SQL: the command is put together by hand."""

import sys
import time

import pyarrow as pa
import pyarrow.flight as flight

url, user, password = sys.argv[1:]


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def statement(sql):
    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    return field(1, kind) + field(2, field(1, sql.encode()))


client = flight.FlightClient(url)

try:
    client.authenticate_basic_token(user, "wrong")
    raise AssertionError("a wrong password was taken")
except flight.FlightUnauthenticatedError:
    pass

options = flight.FlightCallOptions(headers=[client.authenticate_basic_token(user, password)], timeout=60)


def ask(sql):
    info = client.get_flight_info(flight.FlightDescriptor.for_command(statement(sql)), options)
    assert len(info.endpoints) >= 1, info
    tables = [client.do_get(endpoint.ticket, options).read_all() for endpoint in info.endpoints]
    table = pa.concat_tables(tables)
    assert table.schema.equals(info.schema), (table.schema, info.schema)
    return table


for _ in range(200):
    if ask("SELECT count(*) AS n FROM mesh.ports").to_pydict() == {"n": [5]}:
        break
    time.sleep(0.1)
else:
    raise AssertionError("the gateway does not know its peers")

nations = ask(
    "SELECT n_name, count(*) AS customers FROM sales.customers.customer "
    "JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name"
)
assert nations.num_rows == 25, nations
assert nations["n_name"][0].as_py() == "ALGERIA", nations
assert sum(nations["customers"].to_pylist()) == 1500, nations

lines = ask("SELECT * FROM sales.orders.lineitem")
assert lines.num_rows == 60175 and lines.num_columns == 16, lines.schema

try:
    ask("SELECT * FROM sales.orders.lineitems")
    raise AssertionError("there is no such port")
except pa.ArrowException as error:
    assert "sales.orders.lineitem" in str(error), error

print("fine")
