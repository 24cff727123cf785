#!/usr/bin/env python3
"""Runs DuckDB or Trino over the benchmark's PostgreSQL databases, or DuckDB over Parquet files.

    rivals.py duckdb|duckdb-files|trino [--trino-home FOLDER] [--java-home FOLDER] [--folder WORK_FOLDER]

The benchmark starts this program and talks to it over standard input and output, one JSON object a line:

    -> {"databases": [{"name": "sales", "host": "127.0.0.1", "port": 5432, "database": "sales", "user": "u",
                       "password": "p"}, ...]}
    <- {"ready": "Trino 476"}                       or {"error": "..."}, and the program ends
    -> {"sql": "SELECT ...", "timeout": 300}
    <- {"rows": 10, "seconds": 0.25}                or {"error": "..."}
    -> {"sql": "SELECT ...", "timeout": 300, "values": true}
    <- {"rows": 1, "seconds": 0.25, "values": [["2.50", null]]}

For `duckdb-files`, the first line names files instead of databases:

    -> {"tables": [{"name": "sales.orders.lineitem", "file": "FOLDER/lineitem.parquet"}, ...]}

The engine sees each database as a catalog of its name: `sales.public.lineitem`. `seconds` is the time from sending the
text of the query to decoding the last row. The program cancels a query that takes longer than `timeout` seconds.

When standard input closes, the program cancels what still runs and ends everything that it started. It does the same
on SIGTERM, SIGINT and SIGHUP. The engine's log is a file in the work folder.
"""

import argparse
import ctypes
import decimal
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

# Changes to the text of a query that an engine needs, as (old text, new text, reason). Each change keeps the meaning.
TEXT_CHANGES = {"duckdb": [], "duckdb-files": [], "trino": []}

START_SECONDS = 300  # the time limit for the start of Trino, which takes 20 s of an idle processor
CANCEL_SECONDS = 30  # the time limit for an engine to end a cancelled query
STOP_SECONDS = 5  # the time limit for Trino to end after SIGTERM, before SIGKILL


class EngineError(Exception):
    """An error that the program reports to the benchmark."""


class DuckDb:
    """DuckDB in this process, with the `postgres` extension."""

    SOURCES = "databases"

    # Settings that differ from their defaults, with the reason. Everything else stays as DuckDB ships it. The defaults
    # are the fast choices already: all cores (`threads`), filters and columns pushed to PostgreSQL
    # (`pg_experimental_filter_pushdown`), binary COPY (`pg_use_binary_copy`), parallel scans of one table by ranges of
    # pages (`pg_use_ctid_scan`, `pg_pages_per_task`), and pooled connections (`pg_connection_cache`).
    SETTINGS = [
        # DuckDB's performance guide recommends it: results without ORDER BY need no buffering to keep the order.
        ("preserve_insertion_order", "false"),
    ]

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "duckdb.log"
        self.connection = None

    def connect(self):
        """Opens the engine and returns its version."""
        try:
            import duckdb  # here, because Trino does not need the package
        except ImportError:
            raise EngineError(f"DuckDB is not installed for {sys.executable}: pip install duckdb") from None
        # The extension comes from a Python package and not from DuckDB's own repository, so it is loaded by its path
        # and DuckDB does not find the signature that it expects.
        config = {"allow_unsigned_extensions": "true", "temp_directory": str(self.folder / "duckdb-spill")}
        self.connection = duckdb.connect(config=config)
        for name, value in self.SETTINGS:
            self.connection.execute(f"SET {name} = {value}")
        return self.connection.execute("SELECT version()").fetchone()[0]

    def start(self, databases):
        """Attaches the databases and returns the name and version of the engine."""
        version = self.connect()
        platform = self.connection.execute("PRAGMA platform").fetchone()[0]
        self.connection.execute(f"LOAD {quoted(extension_file(version, platform))}")
        for database in databases:
            parameters = {
                "host": database["host"],
                "port": database["port"],
                "dbname": database["database"],
                "user": database["user"],
                "password": database["password"],
            }
            libpq = " ".join(f"{key}={libpq_quoted(value)}" for key, value in parameters.items())
            # A read-only catalog opens read-only transactions.
            self.connection.execute(f'ATTACH {quoted(libpq)} AS "{database["name"]}" (TYPE postgres, READ_ONLY)')
        # DuckDB reads the tables of a database on first use and remembers them.
        self.connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall()
        return f"DuckDB {version.removeprefix('v')}"

    def run(self, sql, timeout):
        """Runs a query and returns its rows."""
        timer = threading.Timer(timeout, self.cancel)
        timer.daemon = True
        timer.start()
        started = time.monotonic()
        try:
            return self.connection.execute(sql).fetchall()
        except Exception:
            if time.monotonic() - started >= timeout:
                raise EngineError(f"the query took longer than {timeout} s and was cancelled") from None
            raise
        finally:
            timer.cancel()

    def cancel(self):
        """Cancels the query that runs."""
        if self.connection is not None:
            self.connection.interrupt()

    def stop(self):
        """Ends the engine. The end of this process does the rest."""
        self.cancel()


class DuckDbOverFiles(DuckDb):
    """DuckDB in this process, over Parquet files."""

    SOURCES = "tables"

    def start(self, tables):
        """Creates a view over each file and returns the name and version of the engine."""
        version = self.connect()
        for table in tables:
            catalog, schema, name = table["name"].split(".")
            self.connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {catalog}")
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{schema}")
            rows = f"SELECT * FROM read_parquet({quoted(table['file'])})"
            self.connection.execute(f"CREATE VIEW {catalog}.{schema}.{name} AS {rows}")
        return f"DuckDB {version.removeprefix('v')}"


def extension_file(version, platform):
    """Returns the path of the `postgres` extension for this version of DuckDB."""
    try:
        import duckdb_ext
    except ImportError:
        raise EngineError("DuckDB's postgres extension is not installed: pip install duckdb-ext-postgres") from None
    folders = list(duckdb_ext.__path__)
    for folder in folders:
        file = Path(folder) / "extensions" / version / platform / "postgres_scanner.duckdb_extension"
        if file.is_file():
            return file
    raise EngineError(
        f"no postgres extension for DuckDB {version} on {platform} in {', '.join(folders)}; install the version of "
        "duckdb-ext-postgres that begins with the version of duckdb"
    )


def quoted(text):
    """Returns an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def libpq_quoted(text):
    """Returns a value for a connection string of libpq."""
    return "'" + str(text).replace("\\", "\\\\").replace("'", "\\'") + "'"


class Trino:
    """A Trino server of one node, over its REST protocol."""

    SOURCES = "databases"

    NODE = """
        node.environment=portolan
        node.id=rival
        node.data-dir={data}
        # Without these two, Trino announces and binds the first address of the machine that is not loopback.
        node.internal-address=127.0.0.1
        node.bind-ip=127.0.0.1
    """

    # The options that Trino's documentation recommends, with these differences: the heap, no heap dump, and the options
    # for Java 25. The launcher skips lines that begin with `#`.
    JVM = """
        -server
        # The whole heap from the start, so that no query pays for its growth.
        -Xms4g
        -Xmx4g
        -XX:+UseG1GC
        -XX:G1HeapRegionSize=32M
        -XX:+ExplicitGCInvokesConcurrent
        -XX:+ExitOnOutOfMemoryError
        -XX:-OmitStackTraceInFastThrow
        -XX:ReservedCodeCacheSize=512M
        -XX:PerMethodRecompilationCutoff=10000
        -XX:PerBytecodeRecompilationCutoff=10000
        -Djdk.attach.allowAttachSelf=true
        -Djdk.nio.maxCachedBufferSize=2000000
        -Dfile.encoding=UTF-8
        # Trino's vectorized operators are in this module.
        --add-modules=jdk.incubator.vector
        # Java 25 warns about native calls and sun.misc.Unsafe without these two.
        --enable-native-access=ALL-UNNAMED
        --sun-misc-unsafe-memory-access=allow
    """

    CONFIG = """
        # One process is the coordinator and the only worker.
        coordinator=true
        node-scheduler.include-coordinator=true
        http-server.http.port={port}
        discovery.uri=http://127.0.0.1:{port}
        catalog.management=static
        # Most of the heap is for the one query that runs. The default is 30 %, which is 1.2 GB of 4 GB.
        query.max-memory-per-node=2500MB
        query.max-memory=2500MB
        memory.heap-headroom-per-node=1GB
        # Joins pass the keys of their build side to the scans of their probe side. `large` allows 20,000 and more keys
        # for each filter. Both are the default; they are here because the race depends on them.
        enable-dynamic-filtering=true
        enable-large-dynamic-filters=true
        # The planner chooses the order and the distribution of joins from PostgreSQL's statistics (the default).
        optimizer.join-reordering-strategy=AUTOMATIC
        join-distribution-type=AUTOMATIC
    """

    CATALOG = """
        connector.name=postgresql
        connection-url={url}
        connection-user=${{ENV:RIVAL_USER_{index}}}
        connection-password=${{ENV:RIVAL_PASSWORD_{index}}}
        # `strict`, the default, leaves out columns of type `numeric` without a precision. This setting maps them to
        # decimal(38,6). It does not change columns that have a precision.
        decimal-mapping=allow_overflow
        decimal-default-scale=6
        decimal-rounding-mode=HALF_UP
        # The planner reads PostgreSQL's statistics, from ANALYZE.
        statistics.enabled=true
        # The data does not change, so names, columns and statistics are read once and not for each query.
        metadata.cache-ttl=1h
        metadata.cache-missing=true
        # A scan waits for the dynamic filters of its joins, to send them in its WHERE clause. 20 s is the default. It is
        # longer than any build side takes at scale 1.
        dynamic-filtering.enabled=true
        dynamic-filtering.wait-timeout=20s
        # A list of more keys than this is sent as a range, which seldom filters anything. The default is 256. Trino's
        # documentation recommends a larger one for a database that searches long lists well, and PostgreSQL 14 and
        # later use a hash table. At scale 1 query 7 then reads 0.3 instead of 3.3 million rows, and query 8 reads 0.5
        # instead of 6.5. Three columns with so many keys are below PostgreSQL's limit of 65,535 parameters.
        domain-compaction-threshold=20000
        # PostgreSQL joins tables of one database if the statistics say that fewer rows then leave it. `EAGER` pushes
        # every join, and Trino's documentation advises against it.
        join-pushdown.enabled=true
        join-pushdown.strategy=AUTOMATIC
        join-pushdown.with-expressions=true
        # PostgreSQL computes aggregates, and ORDER BY with LIMIT, if a plan allows it.
        aggregation-pushdown.enabled=true
        topn-pushdown.enabled=true
        # Not the default: Trino itself evaluates filters that are expressions, such as LIKE. If PostgreSQL evaluates
        # them, the planner has no estimate for the table, and keeps the order of the joins in the text. At scale 1
        # query 9 then reads 8.3 instead of 2.8 million rows and takes three times as long; the other queries gain
        # nothing that is near it.
        complex-expression-pushdown.enabled=false
    """

    HEADERS = {
        "X-Trino-User": "portolan",
        "X-Trino-Source": "rivals.py",
        # Timestamps and times arrive with the precision of their type.
        "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
    }

    def __init__(self, folder, trino_home, java_home):
        self.folder = folder / "trino"
        self.log = folder / "trino.log"
        self.trino_home = trino_home
        self.java_home = java_home
        self.process = None
        self.stopped = False
        self.lock = threading.Lock()
        self.port = free_port()
        self.http = None

    def start(self, databases):
        """Starts the server and returns the name and version of the engine."""
        launcher = self.trino_home / "bin" / "launcher"
        if not launcher.is_file():
            raise EngineError(f"there is no {launcher}; --trino-home is the folder of the unpacked server")
        java = self.java_home / "bin" / "java"
        if not java.is_file():
            raise EngineError(f"there is no {java}; --java-home is the folder of a JDK")
        environment = self.write_config(databases)
        command = [
            launcher, "run", f"--etc-dir={self.folder / 'etc'}", f"--data-dir={self.folder / 'data'}",
            f"--jvm-dir={self.java_home}",
        ]  # fmt: skip
        # The lock makes sure that `stop` sees a process that starts at the same time.
        with self.lock, open(self.log, "wb") as log:
            if self.stopped:
                raise EngineError("the program was told to end")
            # A session of its own, so that Ctrl+C in a terminal reaches only this program, which then ends Trino.
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=end_with_parent,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        self.http = http.client.HTTPConnection("127.0.0.1", self.port)
        # The server accepts queries before its node can run them, and the first use of a catalog connects to PostgreSQL.
        self.wait_until_started(deadline)
        for database in databases:
            self.wait_for_catalog(database["name"], deadline)
        version = self.run("SELECT version()", deadline - time.monotonic())[0][0]
        return f"Trino {version}"

    def write_config(self, databases):
        """Writes the config files and returns the environment of the server."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "etc" / "catalog").mkdir(parents=True)
        (self.folder / "data").mkdir()
        files = {
            "node.properties": self.NODE.format(data=self.folder / "data"),
            "jvm.config": self.JVM,
            "config.properties": self.CONFIG.format(port=self.port),
        }
        environment = dict(os.environ, JAVA_HOME=str(self.java_home))
        for index, database in enumerate(databases):
            name = urllib.parse.quote(database["database"], safe="")
            url = f"jdbc:postgresql://{database['host']}:{database['port']}/{name}"
            files[f"catalog/{database['name']}.properties"] = self.CATALOG.format(url=url, index=index)
            # User and password reach Trino in the environment, so no file contains them, and they need no escapes.
            environment[f"RIVAL_USER_{index}"] = database["user"]
            environment[f"RIVAL_PASSWORD_{index}"] = database["password"]
        for file, text in files.items():
            lines = (line.strip() for line in text.strip().splitlines())
            (self.folder / "etc" / file).write_text("\n".join(lines) + "\n")
        return environment

    def wait_until_started(self, deadline):
        """Waits until the server reports that it has started."""
        while True:
            try:
                if not self.request("GET", "/v1/info", deadline)["starting"]:
                    return
            except (OSError, http.client.HTTPException, EngineError):
                self.http.close()  # the server does not listen yet
            self.check_start(deadline)
            time.sleep(0.2)

    def wait_for_catalog(self, name, deadline):
        """Waits until the server can list the tables of a catalog."""
        while True:
            try:
                self.run(f'SHOW TABLES FROM "{name}".public', deadline - time.monotonic())
                return
            except EngineError as error:
                if "NO_NODES_AVAILABLE" not in str(error):
                    raise EngineError(f"catalog {name}: {error}") from None
            self.check_start(deadline)
            time.sleep(0.2)

    def check_start(self, deadline):
        """Fails if the server has ended or if the time limit for its start is over."""
        status = self.process.poll()
        if status is not None:
            raise EngineError(f"Trino ended with status {status} before it was ready. Its log ends: {end_of(self.log)}")
        if time.monotonic() > deadline:
            raise EngineError(f"Trino was not ready after {START_SECONDS} s. Its log ends: {end_of(self.log)}")

    def run(self, sql, timeout):
        """Runs a query and returns its rows."""
        deadline = time.monotonic() + timeout
        try:
            return self.pages(sql, timeout, deadline)
        except (OSError, http.client.HTTPException) as error:
            self.http.close()
            if time.monotonic() >= deadline:
                raise EngineError(f"the query took longer than {timeout} s, and Trino did not answer") from None
            raise EngineError(f"cannot talk to Trino: {error!r}. Its log ends: {end_of(self.log)}") from None

    def pages(self, sql, timeout, deadline):
        """Sends a query and follows the links of its answers to the last page."""
        rows = []
        page = self.request("POST", "/v1/statement", deadline, sql.encode())
        while True:
            if error := page.get("error"):
                raise EngineError(f"{error.get('errorName')}: {error.get('message')}")
            rows.extend(page.get("data", ()))
            following = page.get("nextUri")
            if following is None:
                return rows
            if time.monotonic() >= deadline:
                self.cancel_query(following)
                raise EngineError(f"the query took longer than {timeout} s and was cancelled")
            # Trino holds the answer back until there are rows, for at most a second.
            page = self.request("GET", path_of(following), deadline)

    def cancel_query(self, uri):
        """Cancels a query and waits until Trino reports its end."""
        deadline = time.monotonic() + CANCEL_SECONDS
        self.request("DELETE", path_of(uri), deadline)
        # The path is /v1/statement/executing/ID/...
        query = path_of(uri).split("/")[4]
        while time.monotonic() < deadline:
            try:
                if self.request("GET", f"/v1/query/{query}", deadline)["state"] in ("FAILED", "FINISHED"):
                    return
            except EngineError:
                return  # Trino has forgotten the query
            time.sleep(0.1)

    def request(self, method, path, deadline, body=None):
        """Sends a request over the one connection and returns the JSON of its answer."""
        while True:
            # A margin over the deadline: the answer to a long poll may come a second later, and then cancels the query.
            self.http.timeout = max(1.0, deadline - time.monotonic() + 5)
            if self.http.sock is not None:
                self.http.sock.settimeout(self.http.timeout)
            self.http.request(method, path, body, self.HEADERS)
            answer = self.http.getresponse()
            text = answer.read()
            if answer.status in (200, 204):
                return json.loads(text) if text else {}
            # Trino's protocol: the client sends a request again after these.
            if answer.status in (429, 502, 503, 504) and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise EngineError(f"Trino answered {answer.status} to {method} {path}: {text[:300].decode(errors='replace')}")

    def stop(self):
        """Ends the server."""
        with self.lock:
            self.stopped = True
        if self.process is None:
            return
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
            try:
                os.killpg(self.process.pid, number)  # the launcher is the leader of its group, and so is Java after it
            except ProcessLookupError:
                pass
            try:
                self.process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                pass


def end_with_parent():
    """Asks Linux to kill this process when its parent ends, which covers a parent that SIGKILL ends."""
    if LIBC is not None:
        pr_set_pdeathsig = 1
        LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def free_port():
    """Returns a port of loopback that no program listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def path_of(uri):
    """Returns the path and the query of a URI."""
    parts = urllib.parse.urlsplit(uri)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def end_of(log):
    """Returns the last lines of a log, without the frames of stack traces."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"({error})"
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("\tat ")]
    return " | ".join(lines[-12:])[-2000:] or "(it is empty)"


class Worker(threading.Thread):
    """The thread that starts the engine and runs queries, so that the main thread always sees the end of its input."""

    def __init__(self, name, engine, events):
        super().__init__(daemon=True)
        self.engine_name = name
        self.engine = engine
        self.events = events
        self.lines = queue.SimpleQueue()
        self.secrets = []

    def run(self):
        """Answers each line with an event: its kind, and the JSON for the benchmark."""
        try:
            (sources,) = fields(self.lines.get(), self.engine.SOURCES)
            self.secrets = [source["password"] for source in sources if source.get("password")]
            self.events.put(("answer", {"ready": self.engine.start(sources)}))
        except Exception as error:
            self.events.put(("failed", self.failure(error)))
            return
        while True:
            self.events.put(("answer", self.answer(self.lines.get())))

    def answer(self, line):
        """Runs the query of a line."""
        try:
            sql, timeout = fields(line, "sql", "timeout")
            for old, new, _ in TEXT_CHANGES[self.engine_name]:
                sql = sql.replace(old, new)
            started = time.monotonic()
            rows = self.engine.run(sql, timeout)
            answer = {"rows": len(rows), "seconds": time.monotonic() - started}
            if json.loads(line).get("values"):
                answer["values"] = [[text_of(value) for value in row] for row in rows]
            return answer
        except Exception as error:
            return self.failure(error)

    def failure(self, error):
        """Returns an error in one line, without passwords."""
        text = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        for secret in self.secrets:
            # DuckDB quotes the connection string in its errors.
            text = text.replace(libpq_quoted(secret), "'***'")
        return {"error": " ".join(text.split())}


def fields(line, *names):
    """Returns these fields of the JSON object in a line."""
    try:
        value = json.loads(line)
        return [value[name] for name in names]
    except (ValueError, KeyError, TypeError):
        raise EngineError(f"expected a line with a JSON object with {' and '.join(names)}, got {line[:80]!r}") from None


def text_of(value):
    """Returns a value of a row as text. NULL stays None."""
    if value is None:
        return None
    # Without an exponent.
    return format(value, "f") if isinstance(value, decimal.Decimal) else str(value)


def read_lines(lines, events):
    """Passes the lines of standard input to the worker."""
    for line in sys.stdin:
        lines.put(line)
    events.put(("end", None))


def main():
    parser = argparse.ArgumentParser(description="Runs another engine over the benchmark's data.")
    parser.add_argument("engine", choices=("duckdb", "duckdb-files", "trino"))
    parser.add_argument("--trino-home", default=os.environ.get("TRINO_HOME"), help="the folder of the unpacked server")
    parser.add_argument("--java-home", default=os.environ.get("JAVA_HOME"), help="the folder of a JDK that runs Trino")
    parser.add_argument("--folder", help="the work folder, with config and log (default: a temporary folder)")
    arguments = parser.parse_args()
    if arguments.engine == "trino" and not (arguments.trino_home and arguments.java_home):
        parser.error("trino needs --trino-home and --java-home")

    # Only answers go to standard output. What a library prints there goes to standard error instead.
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    events = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: events.put(("signal", number)))

    temporary = None if arguments.folder else tempfile.mkdtemp(prefix="portolan-rivals-")
    folder = Path(arguments.folder or temporary).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.engine == "duckdb":
        engine = DuckDb(folder)
    elif arguments.engine == "duckdb-files":
        engine = DuckDbOverFiles(folder)
    else:
        engine = Trino(folder, Path(arguments.trino_home).resolve(), Path(arguments.java_home).resolve())
    worker = Worker(arguments.engine, engine, events)
    worker.start()
    threading.Thread(target=read_lines, args=(worker.lines, events), daemon=True).start()

    status = 0
    try:
        while True:
            kind, value = events.get()
            if kind in ("answer", "failed"):
                print(json.dumps(value), file=output)
            if kind == "failed":
                status = 1
                break
            if kind == "signal":
                status = 128 + value
                break
            if kind == "end":
                break
    except BrokenPipeError:
        status = 1  # the benchmark has ended
    finally:
        engine.stop()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    # Without the clean-up of the interpreter, which would wait for a thread inside DuckDB.
    os._exit(status)


if __name__ == "__main__":
    main()
