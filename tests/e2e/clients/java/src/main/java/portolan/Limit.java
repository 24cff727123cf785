package portolan;

/**
 * A feature that this version of the driver does not support with any server. It is thrown only if that was observed.
 */
final class Limit extends Exception {
    private static final long serialVersionUID = 1;

    Limit(String reason) {
        super(reason);
    }
}
