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
 * loads plugins while it still starts. They are lost then; the library says them again.
 */
final class PluginEvents implements NodeListener, DaemonThread.Work {
    private static final int ACCEPTED = 200;
    private static final int FAILURES_BETWEEN_LINES = 60;
    private static final long END_LIMIT = 5_000;

    private final Logger logger = Logger.getLoggerFor(BusinessContinuityPlugin.class);
    private final GoPluginIdentifier identifier;
    private volatile GoApplicationAccessor accessor;
    private volatile int exitCode;
    private long failures;

    PluginEvents(GoPluginIdentifier identifier) {
        this.identifier = identifier;
    }

    /** Where health messages are posted from now on. */
    void postTo(GoApplicationAccessor to) {
        accessor = to;
    }

    @Override
    public void hear(String word, String payload) {
        switch (word) {
            case "log":
                int blank = payload.indexOf(' ');
                log(payload.substring(0, blank), payload.substring(blank + 1));
                break;
            case "health":
                post(payload);
                break;
            case "exit":
                exitCode = Integer.parseInt(payload);
                DaemonThread.started("bc-exit", this);
                DaemonThread.started("bc-halt", this);
                break;
            default:
                // Hold and release are for the agent's node: GoCD runs already.
        }
    }

    @Override
    public synchronized void failed(Throwable failure) {
        if (failures++ % FAILURES_BETWEEN_LINES == 0) {
            logger.error("the native library failed: " + failure.getMessage(), failure);
        }
    }

    /**
     * Ends the JVM, on a thread of its own, since shutdown hooks are waited for, and whatever becomes of these: a server
     * that was replaced works on for as long as one of them hangs.
     */
    @Override
    public void on(String thread) throws InterruptedException {
        if (thread.equals("bc-exit")) {
            System.exit(exitCode);
        }
        Thread.sleep(END_LIMIT);
        Runtime.getRuntime().halt(exitCode);
    }

    private void log(String level, String message) {
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

    private void post(String messages) {
        GoApplicationAccessor to = accessor;
        if (to == null) {
            return;
        }
        DefaultGoApiRequest request =
                new DefaultGoApiRequest("go.processor.server-health.add-messages", "1.0", identifier);
        request.setRequestBody(messages);
        String refusal;
        try {
            GoApiResponse response = to.submit(request);
            if (response != null && response.responseCode() == ACCEPTED) {
                return;
            }
            refusal = response == null ? "no answer" : "code " + response.responseCode();
        } catch (RuntimeException notYet) {
            refusal = notYet.toString();
        }
        logger.warn("GoCD has not taken our health messages, which will come again: " + refusal);
    }
}
