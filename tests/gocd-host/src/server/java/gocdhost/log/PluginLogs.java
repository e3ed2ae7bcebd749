package gocdhost.log;

import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import com.thoughtworks.go.plugin.internal.api.LoggingService;

import gocdhost.Environment;

/** What plugins log: plugin-ID.log beside go-server.log, from the level that {@code plugin.ID.log.level} names. */
public final class PluginLogs implements LoggingService {
    private static final int LONGEST_NAME = 200;

    private final Map<String, LogFile> files = new ConcurrentHashMap<>();

    @Override
    public void debug(String pluginId, String loggerName, String message) {
        write(Level.DEBUG, pluginId, loggerName, message);
    }

    @Override
    public void debug(String pluginId, String loggerName, String message, Throwable thrown) {
        write(Level.DEBUG, pluginId, loggerName, message, thrown);
    }

    @Override
    public void debug(String pluginId, String loggerName, String message, Object argument) {
        write(Level.DEBUG, pluginId, loggerName, message, argument);
    }

    @Override
    public void debug(String pluginId, String loggerName, String message, Object first, Object second) {
        write(Level.DEBUG, pluginId, loggerName, message, first, second);
    }

    @Override
    public void debug(String pluginId, String loggerName, String message, Object... arguments) {
        write(Level.DEBUG, pluginId, loggerName, message, arguments);
    }

    @Override
    public void info(String pluginId, String loggerName, String message) {
        write(Level.INFO, pluginId, loggerName, message);
    }

    @Override
    public void info(String pluginId, String loggerName, String message, Throwable thrown) {
        write(Level.INFO, pluginId, loggerName, message, thrown);
    }

    @Override
    public void info(String pluginId, String loggerName, String message, Object argument) {
        write(Level.INFO, pluginId, loggerName, message, argument);
    }

    @Override
    public void info(String pluginId, String loggerName, String message, Object first, Object second) {
        write(Level.INFO, pluginId, loggerName, message, first, second);
    }

    @Override
    public void info(String pluginId, String loggerName, String message, Object... arguments) {
        write(Level.INFO, pluginId, loggerName, message, arguments);
    }

    @Override
    public void warn(String pluginId, String loggerName, String message) {
        write(Level.WARN, pluginId, loggerName, message);
    }

    @Override
    public void warn(String pluginId, String loggerName, String message, Throwable thrown) {
        write(Level.WARN, pluginId, loggerName, message, thrown);
    }

    @Override
    public void warn(String pluginId, String loggerName, String message, Object argument) {
        write(Level.WARN, pluginId, loggerName, message, argument);
    }

    @Override
    public void warn(String pluginId, String loggerName, String message, Object first, Object second) {
        write(Level.WARN, pluginId, loggerName, message, first, second);
    }

    @Override
    public void warn(String pluginId, String loggerName, String message, Object... arguments) {
        write(Level.WARN, pluginId, loggerName, message, arguments);
    }

    @Override
    public void error(String pluginId, String loggerName, String message) {
        write(Level.ERROR, pluginId, loggerName, message);
    }

    @Override
    public void error(String pluginId, String loggerName, String message, Throwable thrown) {
        write(Level.ERROR, pluginId, loggerName, message, thrown);
    }

    @Override
    public void error(String pluginId, String loggerName, String message, Object argument) {
        write(Level.ERROR, pluginId, loggerName, message, argument);
    }

    @Override
    public void error(String pluginId, String loggerName, String message, Object first, Object second) {
        write(Level.ERROR, pluginId, loggerName, message, first, second);
    }

    @Override
    public void error(String pluginId, String loggerName, String message, Object... arguments) {
        write(Level.ERROR, pluginId, loggerName, message, arguments);
    }

    private void write(Level level, String pluginId, String logger, String message, Object... arguments) {
        if (level.compareTo(lowest(pluginId)) < 0) {
            return;
        }
        int last = arguments.length - 1;
        Throwable thrown = last >= 0 && arguments[last] instanceof Throwable ? (Throwable) arguments[last] : null;
        files.computeIfAbsent(pluginId, id -> new LogFile(fileName(id), " [plugin-" + id + "]"))
                .write(level, logger, Placeholders.fill(message, arguments), thrown);
    }

    private static Level lowest(String pluginId) {
        try {
            return Level.valueOf(Environment.pluginLogLevel(pluginId).toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException unknown) {
            return Level.INFO;
        }
    }

    private static String fileName(String pluginId) {
        String name = "plugin-" + pluginId;
        int longest = LONGEST_NAME - ".log".length();
        return (name.length() > longest ? name.substring(0, longest) : name) + ".log";
    }
}
