package portolan;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.LinkedHashMap;
import java.util.Map;

/** Every way to authenticate. */
final class Connecting {
    private Connecting() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("connect-anonymous", Connecting::anonymous);
        features.put("connect-password", Connecting::password);
        features.put("connect-token", Connecting::token);
        features.put("connect-token-as-password", Connecting::tokenAsPassword);
        features.put("connect-oauth", Connecting::oauth);
        features.put("connect-tls", Connecting::tls);
        features.put("connect-mtls", Connecting::mtls);
        return features;
    }

    private static void anonymous(Target target) throws Exception {
        works(target.connectWith("user", null, "password", null, "token", null));
        // The URL contains everything, as users paste it.
        works(DriverManager.getConnection(target.url() + "?useEncryption=false"));
        works(DriverManager.getConnection(target.url() + "/?useEncryption=false&threadPoolSize=2"));
        // Tools send these to drivers if there are no credentials.
        works(target.connectWith("user", "", "password", ""));
    }

    private static void password(Target target) throws Exception {
        String user = target.needed("user");
        String password = target.needed("password");
        works(target.connect());
        // Two properties are in the URL, encoded, and the others are in the call.
        String url = target.url() + "/?useEncryption=" + target.given("useEncryption");
        if (target.given("tlsRootCerts") == null) {
            works(DriverManager.getConnection(url, user, password));
            String encoded = java.net.URLEncoder.encode(password, java.nio.charset.StandardCharsets.UTF_8);
            works(DriverManager.getConnection(url + "&user=" + user + "&password=" + encoded));
        }
        Exception wrong = refused(target, "a wrong password", "user or password is wrong", "password", password + "x");
        Check.that("the error does not tell the password", !Check.chain(wrong).contains(password));
        refused(target, "an unknown user", "user or password is wrong", "user", user + "x");
        refused(target, "nobody in particular", "", "user", null, "password", null);
    }

    private static void token(Target target) throws Exception {
        String token = target.needed("token");
        works(target.connectWith("user", null, "password", null));
        Exception wrong = refused(target, "a wrong token", "", "user", null, "password", null, "token", token + "x");
        Check.that("the error does not tell the token", !Check.chain(wrong).contains(token));
    }

    /** The token is in {@code token}, and the user name for it, if any, in {@code user}. */
    private static void tokenAsPassword(Target target) throws Exception {
        String user = target.given("user") == null ? "token" : target.given("user");
        String token = target.needed("token");
        works(target.connectWith("token", null, "user", user, "password", token));
        refused(target, "a wrong token", "", "token", null, "user", user, "password", token + "x");
    }

    private static void oauth(Target target) throws Exception {
        if (!Target.knows("oauth.flow")) {
            throw new Limit("the driver has no `oauth.*` properties; 19.0 is the first that has");
        }
        target.needed("oauth.flow");
        works(target.connect());
        refused(target, "a wrong secret", "", "oauth.clientSecret", "not-this-one");
    }

    private static void tls(Target target) throws Exception {
        target.needed("tlsRootCerts");
        works(target.connectWith("useEncryption", "true"));
        works(target.connectWith("useEncryption", "true", "tlsRootCerts", null, "disableCertificateVerification", "true"));
        refused(target, "a server of an unknown authority", "", "useEncryption", "true", "tlsRootCerts", null);
        refused(target, "plain text to a server with TLS", "", "useEncryption", "false", "tlsRootCerts", null);
    }

    private static void mtls(Target target) throws Exception {
        target.needed("tlsRootCerts");
        target.needed("clientCertificate");
        target.needed("clientKey");
        works(target.connectWith("useEncryption", "true"));
        refused(target, "no certificate", "", "useEncryption", "true", "clientCertificate", null, "clientKey", null);
    }

    /** Runs a query and closes the connection. */
    private static void works(Connection opened) throws SQLException {
        try (Connection connection = opened) {
            Check.equal("SELECT 42", "42", Check.value(connection, "SELECT 42"));
            Check.that("the connection is valid", connection.isValid(5));
        }
    }

    /** Checks that the connection or its first query is refused. */
    private static Exception refused(Target target, String what, String expected, String... changes) throws Exception {
        return Check.refused(what, expected, () -> {
            try (Connection connection = target.connectWith(changes); Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT 42").close();
            }
        });
    }
}
