"""Prints the features of a client line by line: `ok FEATURE`, or `no FEATURE: why` if the client itself does not
support it, and `fine` at the end. A failed check is printed to standard error, and the exit code is then 1."""

import argparse
import faulthandler
import importlib.metadata
import sys
import time
import traceback

# The number of seconds that limits one check, because a client that waits forever must not block the tests.
PATIENCE = 150

FLAGS = {
    "url": "where features are tried: grpc+tcp://host:port",
    "user": "the user at --url; none: nobody in particular",
    "password": "the user's password",
    "anonymous": "a node that takes anybody",
    "token": "a JWT that --url takes",
    "token-user": "the name to give with the token as a password",
    "tls": "a node with TLS, and --user: grpc+tls://host:port",
    "ca": "the file of the authority that signed the certificates",
    "mtls": "a node that takes the certificate for a log-in",
    "cert": "the file of the client's certificate",
    "key": "the file of its key",
    "oauth": "a node with TLS that takes the tokens of --token-uri",
    "token-uri": "where tokens are had",
    "client-id": "the OAuth client",
    "client-secret": "its secret",
    "writable": "a port that takes rows of (id BIGINT, name VARCHAR): domain.product.port",
    "only": "features to try, with commas between; all if empty",
}


def settings():
    """The flags, as in the Go programs."""
    parser = argparse.ArgumentParser()
    for flag, meaning in FLAGS.items():
        parser.add_argument(f"--{flag}", default="token" if flag == "token-user" else "", help=meaning)
    return parser.parse_args()


def text_of(file):
    with open(file) as opened:
        return opened.read()


class Limit(Exception):
    """The error of a check if the client does not support a feature with any server."""


def expect(holds, *told):
    if not holds:
        raise AssertionError(*told)


def same(got, wanted):
    expect(got == wanted, f"expected {wanted!r}, got {got!r}")


def fails(attempt, *texts, kind=Exception):
    """Checks that an attempt fails with this kind of error and these texts in its message, and returns the message."""
    try:
        got = attempt()
    except kind as error:
        for text in texts:
            expect(text in str(error), f"expected {text!r} in {error!r}")
        return str(error)
    raise AssertionError(f"expected {kind} and {texts}, got {got!r}")


def eventually(holds, wanted):
    """Waits for a condition, such as that a node that has just started knows its peers."""
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(f"expected {wanted}")


def run(package, only, checks):
    """Names the client by an installed package, runs the checks and ends the program."""
    print(f"client {package} {importlib.metadata.version(package)}", flush=True)
    wanted = set(filter(None, only.split(",")))
    failed = False
    for feature, check in checks:
        if wanted and feature not in wanted:
            continue
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            check()
            print(f"ok {feature}", flush=True)
        except Limit as limit:
            print(f"no {feature}: {limit}", flush=True)
        except Exception:
            failed = True
            print(f"failed {feature}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        faulthandler.cancel_dump_traceback_later()
    if failed:
        sys.exit(1)
    print("fine")
