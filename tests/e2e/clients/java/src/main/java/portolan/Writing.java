package portolan;

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Statements that change tables of the session. */
final class Writing {
    private Writing() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("updates", Writing::updates);
        features.put("session-tables-listed", Writing::listed);
        features.put("prepared-updates", Writing::prepared);
        features.put("prepared-execute", Writing::execute);
        features.put("parameter-batches", Writing::batches);
        features.put("statement-batches", Writing::statementBatches);
        features.put("update-errors", Writing::errors);
        features.put("ingest", Writing::ingest);
        return features;
    }

    private static void updates(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS jdbc_updates");
            Check.that("CREATE gives no rows", !statement.execute("CREATE TABLE jdbc_updates (a INT, b VARCHAR)"));
            Check.equal("rows inserted", 3, statement.executeUpdate("INSERT INTO jdbc_updates VALUES (1, 'x'), (2, 'y'), (3, NULL)"));
            Check.that("INSERT gives no rows", !statement.execute("INSERT INTO jdbc_updates VALUES (4, 'z')"));
            Check.equal("its count", 1, statement.getUpdateCount());
            Check.equal("rows", "4", Check.value(connection, "SELECT count(*) FROM jdbc_updates"));
            Check.equal("rows updated", 2, statement.executeUpdate("UPDATE jdbc_updates SET b = 'changed' WHERE a > 2"));
            Check.equal("changed", "2", Check.value(connection, "SELECT count(*) FROM jdbc_updates WHERE b = 'changed'"));
            Check.equal("rows deleted", 1L, statement.executeLargeUpdate("DELETE FROM jdbc_updates WHERE a = 1"));
            Check.equal("none deleted", 0, statement.executeUpdate("DELETE FROM jdbc_updates WHERE a = 100"));
            Check.equal("what is left", "9", Check.value(connection, "SELECT sum(a) FROM jdbc_updates"));
            Check.equal("from a query", 5, statement.executeUpdate(
                    "INSERT INTO jdbc_updates SELECT n_nationkey, n_name FROM geo.places.nation WHERE n_regionkey = 1"));
            // An uploaded list is joined with the mesh.
            Check.equal("joined", "5", Check.value(connection, "SELECT count(*) FROM jdbc_updates JOIN geo.places.nation ON b = n_name"));
            statement.execute("CREATE TABLE jdbc_copy AS SELECT a FROM jdbc_updates WHERE a < 4");
            Check.that("a copy", Integer.parseInt(Check.value(connection, "SELECT count(*) FROM jdbc_copy")) > 0);
            statement.execute("DROP TABLE jdbc_copy");
            statement.execute("DROP TABLE jdbc_updates");
            Check.refused("a dropped table", "jdbc_updates", () -> Check.rows(connection, "SELECT * FROM jdbc_updates"));
        }
    }

    private static void listed(Target target) throws Exception {
        try (Connection connection = target.connect(); Connection other = target.connect();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE jdbc_listed (a INT, b VARCHAR)");
            String[] names = {"TABLE_CAT", "TABLE_SCHEM", "TABLE_TYPE"};
            Check.equal("listed", List.of(List.of("portolan", "session", "LOCAL TEMPORARY")),
                    Check.columns(() -> connection.getMetaData().getTables(null, null, "jdbc_listed", null), names));
            Check.equal("its columns", List.of(List.of("a", "4"), List.of("b", "12")),
                    Check.columns(() -> connection.getMetaData().getColumns(null, null, "jdbc_listed", null), "COLUMN_NAME", "DATA_TYPE"));
            Check.equal("not another's", List.of(),
                    Check.columns(() -> other.getMetaData().getTables(null, null, "jdbc_listed", null), names));
            Check.refused("another's table", "jdbc_listed", () -> Check.rows(other, "SELECT * FROM jdbc_listed"));
        }
    }

    private static void prepared(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE jdbc_prepared (a INT, b VARCHAR, c DECIMAL(10, 2), d DATE)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc_prepared VALUES (?, ?, ?, ?)")) {
                for (int i = 1; i <= 3; i++) {
                    insert.setInt(1, i);
                    insert.setString(2, "row " + i);
                    insert.setBigDecimal(3, new BigDecimal("1.5" + i));
                    insert.setDate(4, Date.valueOf("2024-02-0" + i));
                    Check.equal("one row", 1, insert.executeUpdate());
                }
                insert.setInt(1, 4);
                for (int i = 2; i <= 4; i++) {
                    insert.setNull(i, java.sql.Types.NULL);
                }
                Check.equal("one row of NULLs", 1, insert.executeUpdate());
            }
            Check.equal("rows", List.of(Arrays.asList("3", "row 3", "1.53", "2024-02-03"), Arrays.asList("4", null, null, null)),
                    Check.rows(connection, "SELECT * FROM jdbc_prepared WHERE a > 2 ORDER BY a"));
            try (PreparedStatement update = connection.prepareStatement("UPDATE jdbc_prepared SET b = ? WHERE a <= ?")) {
                update.setString(1, "new");
                update.setInt(2, 2);
                Check.equal("rows updated", 2, update.executeUpdate());
            }
            try (PreparedStatement delete = connection.prepareStatement("DELETE FROM jdbc_prepared WHERE b = ?")) {
                delete.setString(1, "new");
                Check.equal("rows deleted", 2, delete.executeUpdate());
            }
            try (PreparedStatement create = connection.prepareStatement("DROP TABLE jdbc_prepared")) {
                create.executeUpdate();
            }
        }
    }

    /** Tools that do not know the kind of a statement call it like this. The statement must run once. */
    private static void execute(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE jdbc_execute (a INT)");
            SQLException failure = null;
            boolean rows = true;
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc_execute VALUES (?)")) {
                insert.setInt(1, 1);
                rows = insert.execute();
            } catch (SQLException e) {
                failure = e;
            }
            String done = Check.value(connection, "SELECT count(*) FROM jdbc_execute");
            statement.execute("DROP TABLE jdbc_execute");
            if (failure != null) {
                throw failure;
            }
            Check.equal("done once", "1", done);
            if (rows && Target.major() < 19) {
                throw new Limit("before 19.0 PreparedStatement.execute of an update claims rows and gives no count; it is done once, "
                        + "and executeUpdate gives the count");
            }
            Check.that("an update gives no rows", !rows);
        }
    }

    private static void batches(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE jdbc_batches (a BIGINT, b VARCHAR)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc_batches VALUES (?, ?)")) {
                for (int round = 0; round < 2; round++) {
                    for (int i = 0; i < 100; i++) {
                        insert.setLong(1, round * 100 + i);
                        insert.setString(2, i % 10 == 0 ? null : "row " + i);
                        insert.addBatch();
                    }
                    // The driver sends a batch as one update and returns its one count.
                    Check.equal("rows inserted", 100, Arrays.stream(insert.executeBatch()).sum());
                }
            }
            Check.equal("rows", "200", Check.value(connection, "SELECT count(*) FROM jdbc_batches"));
            Check.equal("values", "19900", Check.value(connection, "SELECT sum(a) FROM jdbc_batches"));
            Check.equal("NULLs", "20", Check.value(connection, "SELECT count(*) FROM jdbc_batches WHERE b IS NULL"));
            statement.execute("DROP TABLE jdbc_batches");
        }
    }

    private static void statementBatches(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE jdbc_statement_batches (a INT)");
            statement.addBatch("INSERT INTO jdbc_statement_batches VALUES (1)");
            statement.addBatch("INSERT INTO jdbc_statement_batches VALUES (2)");
            Exception failure = null;
            try {
                statement.executeBatch();
            } catch (SQLException | RuntimeException e) {
                failure = e;
            }
            String done = Check.value(connection, "SELECT count(*) FROM jdbc_statement_batches");
            statement.execute("DROP TABLE jdbc_statement_batches");
            if (done.equals("0")) {
                throw new Limit("the driver sends nothing for a batch of statements ("
                        + (failure == null ? "and says nothing" : failure.getClass().getSimpleName()) + "); batches of parameters work");
            }
            Check.equal("rows", "2", done);
        }
    }

    private static void errors(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            Check.refused("a port that is not writable", "nation",
                    () -> statement.executeUpdate("INSERT INTO geo.places.nation SELECT * FROM geo.places.nation"));
            Check.refused("dropping a port", "nation", () -> statement.executeUpdate("DROP TABLE geo.places.nation"));
            Check.refused("a table that there is not", "jdbc_nowhere", () -> statement.executeUpdate("INSERT INTO jdbc_nowhere VALUES (1)"));
            statement.execute("CREATE TABLE jdbc_errors (a INT)");
            Check.refused("a table that is there", "jdbc_errors", () -> statement.execute("CREATE TABLE jdbc_errors (a INT)"));
            Check.refused("too many values", "", () -> statement.executeUpdate("INSERT INTO jdbc_errors VALUES (1, 2)"));
            Check.equal("nothing was inserted", "0", Check.value(connection, "SELECT count(*) FROM jdbc_errors"));
            statement.execute("DROP TABLE jdbc_errors");
            Check.equal("the port is whole", "25", Check.value(connection, "SELECT count(*) FROM geo.places.nation"));
        }
    }

    private static void ingest(Target target) throws Exception {
        throw new Limit("JDBC has no bulk ingest; batches of parameters are the nearest");
    }
}
