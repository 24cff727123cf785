package portolan;

/** What this version of the driver cannot do with any server. Thrown only where it was seen not to. */
final class Limit extends Exception {
    private static final long serialVersionUID = 1;

    Limit(String reason) {
        super(reason);
    }
}
