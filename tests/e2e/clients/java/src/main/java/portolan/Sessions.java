package portolan;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.LinkedHashMap;
import java.util.Map;

/** The state that a connection keeps between statements. */
final class Sessions {
    private Sessions() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("settings", Sessions::settings);
        features.put("transactions", Sessions::transactions);
        features.put("session-catalog", Sessions::catalogProperty);
        features.put("session-catalog-close", Sessions::catalogClose);
        features.put("session-catalog-statement", Sessions::catalogStatement);
        features.put("set-catalog", Sessions::setCatalog);
        features.put("set-schema", Sessions::setSchema);
        return features;
    }

    private static void settings(Target target) throws Exception {
        try (Connection connection = target.connect(); Connection other = target.connect();
                Statement statement = connection.createStatement()) {
            String before = shown(other);
            Check.that("SET gives no rows", !statement.execute("SET portolan.query_timeout = 77"));
            Check.equal("kept", "77", shown(connection));
            Check.equal("not another's", before, shown(other));
            statement.executeUpdate("SET portolan.query_timeout = 78");
            Check.equal("kept", "78", shown(connection));
        }
    }

    private static String shown(Connection connection) throws SQLException {
        return Check.rows(connection, "SHOW portolan.query_timeout").get(0).get(1);
    }

    /** There are no transactions, and no metadata claims otherwise. */
    private static void transactions(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            Check.that("none are advertised", !connection.getMetaData().supportsTransactions());
            Check.equal("isolation", Connection.TRANSACTION_NONE, connection.getTransactionIsolation());
            Check.that("every statement for itself", connection.getAutoCommit());
            Check.equal("it works so", "1", Check.value(connection, "SELECT 1"));
            Check.that("nothing else is claimed",
                    !connection.getMetaData().supportsTransactionIsolationLevel(Connection.TRANSACTION_SERIALIZABLE));
        }
    }

    /** The property {@code catalog}, which becomes a session option. */
    private static void catalogProperty(Target target) throws Exception {
        if (!Target.knows("catalog")) {
            throw new Limit("the driver has no property `catalog`; say `SET catalog = …`");
        }
        try (Connection connection = Target.forgiving(target.connectWith("catalog", "geo"))) {
            Check.equal("rows", "25", Check.value(connection, "SELECT count(*) FROM places.nation"));
            Check.equal("a whole name", "25", Check.value(connection, "SELECT count(*) FROM geo.places.nation"));
        }
        Check.refused("a catalog that there is not", "", () -> {
            try (Connection connection = Target.forgiving(target.connectWith("catalog", "nowhere"))) {
                Check.value(connection, "SELECT count(*) FROM places.nation");
            }
        });
    }

    private static void catalogClose(Target target) throws Exception {
        if (!Target.knows("catalog")) {
            throw new Limit("the driver has no property `catalog`");
        }
        Connection connection = target.connectWith("catalog", "geo");
        Check.equal("rows", "25", Check.value(connection, "SELECT count(*) FROM places.nation"));
        try {
            connection.close();
        } catch (SQLException e) {
            Check.contains("what closing says", Target.CLOSED_TWICE, Check.chain(e));
            if (Target.major() < 19) {
                throw new Limit("with the property `catalog`, closing the connection throws `" + Target.CLOSED_TWICE
                        + "`: the driver closes the session a second time");
            }
            throw e;
        }
    }

    private static void catalogStatement(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("SET catalog = 'geo'");
            Check.equal("rows", "25", Check.value(connection, "SELECT count(*) FROM places.nation"));
            statement.execute("SET schema = 'places'");
            Check.equal("rows", "25", Check.value(connection, "SELECT count(*) FROM nation"));
        }
    }

    private static void setCatalog(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            connection.setCatalog("geo");
            Check.equal("getCatalog", "geo", connection.getCatalog());
            try {
                Check.equal("rows", "25", Check.value(connection, "SELECT count(*) FROM places.nation"));
            } catch (SQLException e) {
                if (Target.major() < 19) {
                    Check.contains("the default catalog is as it was", "places.nation", Check.chain(e));
                    throw new Limit("before 19.0 setCatalog sends the server nothing; the property `catalog` does");
                }
                throw e;
            }
        }
    }

    private static void setSchema(Target target) throws Exception {
        try (Connection connection = Target.forgiving(target.connectWith("catalog", "geo"))) {
            connection.setSchema("places");
            Check.equal("getSchema", "places", connection.getSchema());
            try {
                Check.equal("rows", "25", Check.value(connection, "SELECT count(*) FROM nation"));
            } catch (SQLException e) {
                Check.contains("the default schema is as it was", "nation", Check.chain(e));
                throw new Limit("setSchema sends the server nothing; write `SET schema = …`");
            }
        }
    }
}
