package gocdhost.config;

/** Looks at cruise-config.xml again and again. */
public final class ConfigPoll {
    private ConfigPoll() {
    }

    /**
     * Starts it on a daemon thread.
     *
     * @param interval milliseconds
     */
    public static void start(ConfigService service, long interval) {
        Thread thread = new Thread(() -> {
            while (true) {
                try {
                    Thread.sleep(interval);
                } catch (InterruptedException stopped) {
                    return;
                }
                service.takeUpFromDisk();
            }
        }, "gocd-host-config");
        thread.setDaemon(true);
        thread.start();
    }
}
