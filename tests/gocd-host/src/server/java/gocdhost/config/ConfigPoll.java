package gocdhost.config;

import java.util.function.BooleanSupplier;

/** Looks at cruise-config.xml again and again. */
public final class ConfigPoll {
    private ConfigPoll() {
    }

    /**
     * Starts it on a daemon thread.
     *
     * @param interval milliseconds
     * @param paused   while true, it does not look
     */
    public static void start(ConfigService service, long interval, BooleanSupplier paused) {
        Thread thread = new Thread(() -> {
            while (true) {
                try {
                    Thread.sleep(interval);
                } catch (InterruptedException stopped) {
                    return;
                }
                if (!paused.getAsBoolean()) {
                    service.takeUpFromDisk();
                }
            }
        }, "gocd-host-config");
        thread.setDaemon(true);
        thread.start();
    }
}
