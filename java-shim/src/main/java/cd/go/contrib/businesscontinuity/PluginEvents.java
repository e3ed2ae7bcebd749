package cd.go.contrib.businesscontinuity;

import com.thoughtworks.go.plugin.api.GoApplicationAccessor;
import com.thoughtworks.go.plugin.api.GoPluginIdentifier;
import com.thoughtworks.go.plugin.api.logging.Logger;
import com.thoughtworks.go.plugin.api.request.DefaultGoApiRequest;
import com.thoughtworks.go.plugin.api.response.GoApiResponse;

/**
 * Hands what a node says to the GoCD server around it: log lines to the plugin's log, health messages to the server.
 *
 * <p>GoCD may not take health messages yet when the first ones come: it gives its accessor with the first request, and
 * loads plugins while it still starts. So they are posted again each second until they are accepted, and a newer list
 * replaces one that waits.
 */
final class PluginEvents implements NodeListener {
    private static final long RETRY_NANOSECONDS = 900_000_000L;
    private static final int ACCEPTED = 200;
    private static final int FAILURES_BETWEEN_LINES = 60;

    private final Logger logger = Logger.getLoggerFor(BusinessContinuityPlugin.class);
    private final GoPluginIdentifier identifier;
    private volatile GoApplicationAccessor accessor;
    private String waiting;
    private long refusals;
    private long lastRefusal;
    private long failures;

    PluginEvents(GoPluginIdentifier identifier) {
        this.identifier = identifier;
    }

    /** Where health messages are posted from now on. */
    void post(GoApplicationAccessor to) {
        accessor = to;
    }

    @Override
    public void log(String level, String message) {
        switch (level) {
            case "ERROR":
                logger.error(message);
                break;
            case "WARN":
                logger.warn(message);
                break;
            case "DEBUG":
                logger.debug(message);
                break;
            default:
                logger.info(message);
        }
    }

    @Override
    public void health(String messages) {
        waiting = messages;
        refusals = 0;
        postWaiting();
    }

    /** GoCD runs already: only the agent's node holds it. */
    @Override
    public void hold(String reason) {
    }

    /** GoCD runs already. */
    @Override
    public void release(String properties) {
    }

    @Override
    public void exit(int code) {
        DaemonThread.of("bc-exit", new Exit(code)).start();
    }

    @Override
    public synchronized void failed(Throwable failure) {
        if (failures++ % FAILURES_BETWEEN_LINES == 0) {
            logger.error("the native library failed: " + failure.getMessage(), failure);
        }
    }

    @Override
    public void working() {
        if (waiting != null && (refusals == 0 || System.nanoTime() - lastRefusal >= RETRY_NANOSECONDS)) {
            postWaiting();
        }
    }

    private void postWaiting() {
        GoApplicationAccessor to = accessor;
        if (to == null) {
            return;
        }
        String reason;
        try {
            DefaultGoApiRequest request =
                    new DefaultGoApiRequest("go.processor.server-health.add-messages", "1.0", identifier);
            request.setRequestBody(waiting);
            GoApiResponse response = to.submit(request);
            if (response != null && response.responseCode() == ACCEPTED) {
                waiting = null;
                refusals = 0;
                return;
            }
            reason = response == null ? "no answer" : "code " + response.responseCode();
        } catch (RuntimeException notYet) {
            reason = notYet.toString();
        }
        lastRefusal = System.nanoTime();
        refusals++;
        if (refusals % FAILURES_BETWEEN_LINES == 0) {
            logger.warn("GoCD has not taken our health messages for a minute: " + reason);
        }
    }

    /** Ends the JVM; on a thread of its own, since the shutdown hook waits for the one that events come on. */
    static final class Exit implements Runnable {
        private final int code;

        private Exit(int code) {
            this.code = code;
        }

        @Override
        public void run() {
            System.exit(code);
        }
    }
}
