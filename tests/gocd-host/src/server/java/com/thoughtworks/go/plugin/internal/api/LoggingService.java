package com.thoughtworks.go.plugin.internal.api;

/**
 * Where the Logger of the plugin API sends what a plugin logs. The published API jar has calls to this interface but
 * not the interface itself, so its name and its methods are those that Logger links to.
 * A message may hold {} for each of its arguments.
 */
public interface LoggingService {
    void debug(String pluginId, String loggerName, String message);

    void debug(String pluginId, String loggerName, String message, Throwable thrown);

    void debug(String pluginId, String loggerName, String message, Object argument);

    void debug(String pluginId, String loggerName, String message, Object first, Object second);

    void debug(String pluginId, String loggerName, String message, Object... arguments);

    void info(String pluginId, String loggerName, String message);

    void info(String pluginId, String loggerName, String message, Throwable thrown);

    void info(String pluginId, String loggerName, String message, Object argument);

    void info(String pluginId, String loggerName, String message, Object first, Object second);

    void info(String pluginId, String loggerName, String message, Object... arguments);

    void warn(String pluginId, String loggerName, String message);

    void warn(String pluginId, String loggerName, String message, Throwable thrown);

    void warn(String pluginId, String loggerName, String message, Object argument);

    void warn(String pluginId, String loggerName, String message, Object first, Object second);

    void warn(String pluginId, String loggerName, String message, Object... arguments);

    void error(String pluginId, String loggerName, String message);

    void error(String pluginId, String loggerName, String message, Throwable thrown);

    void error(String pluginId, String loggerName, String message, Object argument);

    void error(String pluginId, String loggerName, String message, Object first, Object second);

    void error(String pluginId, String loggerName, String message, Object... arguments);
}
