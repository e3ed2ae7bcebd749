package gocdhost.server;

import gocdhost.Environment;
import gocdhost.log.ServerLog;
import gocdhost.plugin.Plugins;

/**
 * A start that fails, as one does on a database that takes no writes: plugins are loaded by then, and the start ends with
 * an exception. Or later than any start does, once the server has answered that it is healthy.
 */
final class Failure {
    private static final ServerLog LOG = new ServerLog(Failure.class);
    private static final long LATE = 1_000;

    private final String kind = Environment.failure();

    /** Where the start meets the database. */
    void meetDatabase(Plugins plugins) throws InterruptedException {
        if (kind.equals("database")) {
            plugins.awaitFirstLook();
            // As long as GoCD goes on after its plugins.
            Thread.sleep(LATE);
            throw reason();
        }
    }

    /** Where the server is up. */
    void meetUsers() {
        if (kind.equals("late")) {
            new Thread(this::endLate, "gocd-host-failure").start();
        }
    }

    private void endLate() {
        try {
            Thread.sleep(LATE);
        } catch (InterruptedException sooner) {
            // It ends all the same.
        }
        LOG.error("Unable to initialize Go Server after initial load", reason());
        System.exit(1);
    }

    private static RuntimeException reason() {
        return new IllegalStateException("Unable to initialize Go Server after initial load",
                new IllegalStateException("PreparedStatementCallback; SQL [update serverBackups set status=?]",
                        new IllegalStateException("ERROR: cannot execute UPDATE in a read-only transaction")));
    }
}
