package portolan;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** Long queries that do not go on for long. */
final class Stopping {
    /** Gives rows at once, and does not end. */
    private static final String ENDLESS =
            "SELECT a.l_orderkey, b.l_comment FROM sales.orders.lineitem a CROSS JOIN sales.orders.lineitem b";
    /** Gives its only row after a very long time, a batch of candidates at a time. */
    private static final String SLOW =
            "SELECT sum(length(a.l_comment || b.l_comment)) FROM sales.orders.lineitem a "
                    + "JOIN sales.orders.lineitem b ON a.l_linestatus = b.l_linestatus";
    /** Within how many seconds things have to stop. */
    private static final int SOON = 30;

    private Stopping() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("cancel", Stopping::cancel);
        features.put("cancel-before-rows", Stopping::cancelBeforeRows);
        features.put("timeouts", Stopping::timeout);
        features.put("timeout-setting", Stopping::setting);
        return features;
    }

    private static void cancel(Target target) throws Exception {
        // The driver may complain of memory that it lost itself where rows were under way.
        try (Connection connection = Target.forgiving(target.connect())) {
            Statement statement = connection.createStatement();
            ResultSet rows = statement.executeQuery(ENDLESS);
            Check.that("a row", rows.next());
            CompletableFuture<Void> cancelled = CompletableFuture.runAsync(
                    () -> {
                        try {
                            statement.cancel();
                        } catch (SQLException e) {
                            throw new IllegalStateException(e);
                        }
                    },
                    CompletableFuture.delayedExecutor(500, TimeUnit.MILLISECONDS));
            long end = System.nanoTime() + SOON * 1_000_000_000L;
            Exception ended = null;
            try {
                while (rows.next()) {
                    Check.that("rows end soon after a cancel", System.nanoTime() < end);
                }
            } catch (SQLException | RuntimeException e) {
                ended = e;
            }
            try {
                cancelled.get(SOON, TimeUnit.SECONDS);
            } catch (ExecutionException complaint) {
                // `cancel` closes streams that the other thread reads from, and where the two meet may complain of it.
                System.err.println("cancel: " + Check.chain(complaint));
            }
            Check.that("reading fails once it is cancelled", ended != null);
            closed(rows);
            closed(statement);
            gone(connection);
            Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
        }
    }

    private static void cancelBeforeRows(Target target) throws Exception {
        // The driver may complain of memory that it lost itself where rows were under way.
        try (Connection connection = Target.forgiving(target.connect())) {
            Statement statement = connection.createStatement();
            CompletableFuture<Exception> ended = CompletableFuture.supplyAsync(() -> {
                try (ResultSet rows = statement.executeQuery(SLOW)) {
                    rows.next();
                    return null;
                } catch (Exception e) {
                    return e;
                }
            });
            Thread.sleep(1500);
            Check.that("the query runs", !ended.isDone());
            statement.cancel();
            try {
                Check.that("it fails once it is cancelled", ended.get(10, TimeUnit.SECONDS) != null);
            } catch (java.util.concurrent.TimeoutException e) {
                // Another connection stops it, so that it does not go on for as long as it may.
                throw new Limit("cancel() does nothing before the first rows are there: the driver has no result set to cancel yet");
            } finally {
                closed(statement);
            }
            gone(connection);
        }
    }

    private static void timeout(Target target) throws Exception {
        // The driver may complain of memory that it lost itself where rows were under way.
        try (Connection connection = Target.forgiving(target.connect())) {
            Statement statement = connection.createStatement();
            statement.setQueryTimeout(2);
            long start = System.nanoTime();
            SQLException late = Check.refused("a query that takes too long", "", () -> statement.executeQuery(SLOW).close());
            long seconds = (System.nanoTime() - start) / 1_000_000_000L;
            Check.that("it ends after 2 s and not after " + seconds, seconds >= 1 && seconds < SOON);
            Check.contains("the error", "timed out", Check.chain(late));
            closed(statement);
            Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
            gone(connection);
            try (Statement quick = connection.createStatement()) {
                quick.setQueryTimeout(60);
                try (ResultSet rows = quick.executeQuery("SELECT count(*) FROM geo.places.nation")) {
                    Check.equal("a quick one", 1, Check.rows(rows).size());
                }
            }
        }
    }

    private static void setting(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("SET portolan.query_timeout = 2");
            long start = System.nanoTime();
            Check.refused("a query that takes too long", "2", () -> Check.rows(connection, SLOW));
            Check.that("it ends soon", System.nanoTime() - start < SOON * 1_000_000_000L);
            Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
        }
    }

    /** Waits until the server runs none of the long queries, where it says what it runs. */
    private static void gone(Connection connection) throws Exception {
        String shown = Check.value(
                connection,
                "SELECT count(*) FROM portolan.information_schema.tables WHERE table_schema = 'mesh' AND table_name = 'queries'");
        if (shown.equals("1")) {
            String running = "SELECT count(*) FROM mesh.queries WHERE statement LIKE '%lineitem ' || 'b%' AND state = 'running'";
            Check.until("the server has stopped it", SOON, () -> Check.value(connection, running).equals("0"));
        }
        // Nothing that goes on stands in the way of others.
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(SOON);
            try (ResultSet rows = statement.executeQuery("SELECT max(l_orderkey) FROM sales.orders.lineitem WHERE l_quantity > 1")) {
                Check.equal("the owner answers others", 1, Check.rows(rows).size());
            }
        }
    }

    /** Closes what was cancelled, which may complain of it. */
    private static void closed(AutoCloseable cancelled) {
        try {
            cancelled.close();
        } catch (Exception expected) {
            // It is over, one way or another.
        }
    }
}
