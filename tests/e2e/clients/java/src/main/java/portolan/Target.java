package portolan;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.Driver;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;

/**
 * The tested server, and the properties of the connection: {@code host}, {@code port}, and the driver's own properties.
 */
final class Target {
    /** The driver's message about its own memory leak. */
    static final String LEAK = "Memory was leaked by query";

    /** The message of 18.3 if it closes a session twice. */
    static final String CLOSED_TWICE = "Channel shutdown invoked";

    private final Map<String, String> given = new LinkedHashMap<>();

    Target(String[] arguments) {
        given.put("host", "127.0.0.1");
        given.put("useEncryption", "false");
        for (String argument : arguments) {
            int at = argument.indexOf('=');
            given.put(argument.substring(0, at), argument.substring(at + 1));
        }
    }

    /** Returns a target with an additional property. */
    Target with(String key, String value) {
        Target target = new Target(new String[0]);
        target.given.putAll(given);
        target.given.put(key, value);
        return target;
    }

    /** Returns the value of a property. */
    String given(String key) {
        return given.get(key);
    }

    /** Returns the value of a property without which the feature cannot be checked. */
    String needed(String key) {
        String value = given.get(key);
        if (value == null) {
            throw new IllegalArgumentException("`" + key + "=…` must be said for this feature");
        }
        return value;
    }

    /** Returns the URL of the server without any property. */
    String url() {
        return "jdbc:arrow-flight-sql://" + needed("host") + ":" + needed("port");
    }

    /** Returns all properties. */
    Properties properties() {
        Properties properties = new Properties();
        given.forEach((key, value) -> {
            if (!key.equals("host") && !key.equals("port")) {
                properties.setProperty(key, value);
            }
        });
        return properties;
    }

    /** Opens a connection with all properties. */
    Connection connect() throws SQLException {
        return connectWith();
    }

    /** As {@link #connect()}, with other values of some properties. A null removes a property. */
    Connection connectWith(String... keysAndValues) throws SQLException {
        Properties properties = properties();
        for (int i = 0; i < keysAndValues.length; i += 2) {
            if (keysAndValues[i + 1] == null) {
                properties.remove(keysAndValues[i]);
            } else {
                properties.setProperty(keysAndValues[i], keysAndValues[i + 1]);
            }
        }
        Connection connection = DriverManager.getConnection(url() + "/", properties);
        return major() < 17 ? forgiving(connection) : connection;
    }

    /**
     * Returns a connection whose driver may report errors of its own when it is closed: 16.1 does so after parameters,
     * and 18.3 with a default catalog. `close-after-parameters` and `session-catalog-close` check that.
     */
    static Connection forgiving(Connection connection) {
        InvocationHandler handler = (proxy, method, arguments) -> {
            try {
                return method.invoke(connection, arguments);
            } catch (InvocationTargetException e) {
                String said = Check.chain(e.getCause());
                if (method.getName().equals("close") && (said.contains(LEAK) || said.contains(CLOSED_TWICE))) {
                    return null;
                }
                throw e.getCause();
            }
        };
        Class<?>[] interfaces = {Connection.class};
        return (Connection) Proxy.newProxyInstance(Target.class.getClassLoader(), interfaces, handler);
    }

    /** Returns the major version of the driver. */
    static int major() throws SQLException {
        return driver().getMajorVersion();
    }

    /**
     * True if the driver has a property with this name. The driver's own list of properties, for tools, is incomplete.
     */
    static boolean knows(String property) throws ReflectiveOperationException {
        Class<?> properties = Class.forName(
                "org.apache.arrow.driver.jdbc.utils.ArrowFlightConnectionConfigImpl$ArrowFlightConnectionProperty");
        for (Object known : properties.getEnumConstants()) {
            if (properties.getMethod("camelName").invoke(known).equals(property)) {
                return true;
            }
        }
        return false;
    }

    private static Driver driver() throws SQLException {
        return DriverManager.getDriver("jdbc:arrow-flight-sql://127.0.0.1:1/");
    }
}
