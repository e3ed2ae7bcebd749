package gocdhost.plugin.descriptor;

/** A descriptor that GoCD's schema does not allow. */
final class InvalidDescriptorException extends Exception {
    private static final long serialVersionUID = 1L;

    InvalidDescriptorException(String message, Throwable cause) {
        super(message, cause);
    }
}
