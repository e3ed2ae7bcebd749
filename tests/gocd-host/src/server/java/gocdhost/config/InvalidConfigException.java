package gocdhost.config;

/** A cruise-config.xml that the server does not accept. */
public final class InvalidConfigException extends Exception {
    private static final long serialVersionUID = 1L;

    InvalidConfigException(String message) {
        super(message);
    }
}
