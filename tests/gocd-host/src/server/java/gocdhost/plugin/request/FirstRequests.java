package gocdhost.plugin.request;

import com.google.gson.JsonParser;

import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.load.PluginListener;
import gocdhost.plugin.osgi.OsgiFramework;
import gocdhost.plugin.osgi.PluginException;

/**
 * Asks each plugin, once it is loaded, for the form of its settings, and a notification plugin what it wants to be told.
 * A plugin that has no form, or fails here, stays valid.
 */
public final class FirstRequests implements PluginListener {
    private static final ServerLog LOG = new ServerLog(FirstRequests.class);
    private static final String NOTIFICATION = "notification";

    private final OsgiFramework framework;
    private final PluginRequests requests;

    public FirstRequests(OsgiFramework framework, PluginRequests requests) {
        this.framework = framework;
        this.requests = requests;
    }

    @Override
    public void loaded(PluginDescriptor plugin) {
        for (String extension : framework.extensions(plugin.id()).keySet()) {
            if (!extension.equals("task")) {
                askForSettings(plugin, extension);
            }
        }
        if (framework.has(plugin.id(), NOTIFICATION)) {
            askForNotifications(plugin);
        }
    }

    @Override
    public void unloading(PluginDescriptor plugin) {
        // Nothing is kept of the answers.
    }

    private void askForSettings(PluginDescriptor plugin, String extension) {
        try {
            requests.ask(plugin, extension, "go.plugin-settings.get-configuration");
            requests.ask(plugin, extension, "go.plugin-settings.get-view");
        } catch (RuntimeException none) {
            LOG.warn("Failed to fetch plugin settings metadata for plugin " + plugin.id() + " (" + extension + "): "
                    + none.getMessage() + ". Not all plugins are required to implement the request above."
                    + " This error may be safe to ignore.");
        }
    }

    private void askForNotifications(PluginDescriptor plugin) {
        try {
            String answer = requests.ask(plugin, NOTIFICATION, "notifications-interested-in");
            if (!JsonParser.parseString(answer).getAsJsonObject().has("notifications")) {
                throw new PluginException("the answer has no notifications");
            }
        } catch (RuntimeException failed) {
            LOG.warn("Error occurred during plugin notification interest registration.", failed);
        }
    }
}
