package gocdhost.log;

/** go-server.log. */
public final class ServerLog {
    private static final LogFile FILE = new LogFile("go-server.log", "");

    private final String logger;

    public ServerLog(Class<?> source) {
        logger = source.getName();
    }

    public void info(String message) {
        FILE.write(Level.INFO, logger, message, null);
    }

    public void warn(String message) {
        FILE.write(Level.WARN, logger, message, null);
    }

    public void warn(String message, Throwable thrown) {
        FILE.write(Level.WARN, logger, message, thrown);
    }

    public void error(String message) {
        FILE.write(Level.ERROR, logger, message, null);
    }

    public void error(String message, Throwable thrown) {
        FILE.write(Level.ERROR, logger, message, thrown);
    }
}
