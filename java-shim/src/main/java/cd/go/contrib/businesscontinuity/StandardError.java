package cd.go.contrib.businesscontinuity;

/** Where a node speaks while GoCD does not run yet: the wrapper's log, or the console. */
final class StandardError {
    private StandardError() {
    }

    /** Writes a line; gives up silently where that is not possible. */
    static void say(String message) {
        try {
            System.err.println("GoCD Business Continuity: " + message);
        } catch (Throwable unheard) {
            // Out of memory. Whoever speaks here has more important things to do than to be heard.
        }
    }

    /** Writes bytes that were made when there was memory left. */
    static void sayPrepared(byte[] line) {
        try {
            System.err.write(line, 0, line.length);
            System.err.flush();
        } catch (Throwable unheard) {
            // As above.
        }
    }
}
