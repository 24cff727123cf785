"""ADBC's driver for Flight SQL: a token that it fetches, a given token, a token as the password, and a certificate."""

import sys

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
from adbc_driver_flightsql import DatabaseOptions, OAuthFlowType

url, token_uri, token, ca, cert, key = sys.argv[1:]


def read(path):
    with open(path) as file:
        return file.read()


def ask(options):
    options = {DatabaseOptions.TLS_ROOT_CERTS.value: read(ca)} | options
    with dbapi.connect(url, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        # The setting outlives the statement only if there is a session.
        cursor.execute("SET portolan.key_wait = 17")
        cursor.execute("SHOW portolan.key_wait")
        assert cursor.fetchone()[1] == "17"


ask(
    {
        DatabaseOptions.OAUTH_FLOW.value: OAuthFlowType.CLIENT_CREDENTIALS.value,
        DatabaseOptions.OAUTH_TOKEN_URI.value: token_uri,
        DatabaseOptions.OAUTH_CLIENT_ID.value: "tool",
        DatabaseOptions.OAUTH_CLIENT_SECRET.value: "tool's secret",
    }
)
ask({DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"})
ask({"username": "token", "password": token})
ask(
    {
        DatabaseOptions.MTLS_CERT_CHAIN.value: read(cert),
        DatabaseOptions.MTLS_PRIVATE_KEY.value: read(key),
        DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true",
    }
)
for options in [{}, {"username": "bob", "password": token}]:
    try:
        ask(options)
    except adbc_driver_manager.Error as error:
        assert "token" in str(error) and token not in str(error), error
    else:
        raise AssertionError("it was let in")
print("fine")
