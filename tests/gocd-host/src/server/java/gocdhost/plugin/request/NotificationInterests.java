package gocdhost.plugin.request;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;

import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.load.PluginListener;
import gocdhost.plugin.osgi.OsgiFramework;
import gocdhost.plugin.osgi.PluginException;

/** Asks each notification plugin, once it is loaded, what it wants to be told. A plugin that fails here stays valid. */
public final class NotificationInterests implements PluginListener {
    private static final ServerLog LOG = new ServerLog(NotificationInterests.class);
    private static final String EXTENSION = "notification";

    private final OsgiFramework framework;
    private final PluginRequests requests;
    private final Map<String, List<String>> interests = new ConcurrentHashMap<>();

    public NotificationInterests(OsgiFramework framework, PluginRequests requests) {
        this.framework = framework;
        this.requests = requests;
    }

    /** What a plugin answered; empty where it was not asked or failed. */
    public Optional<List<String>> of(String pluginId) {
        return Optional.ofNullable(interests.get(pluginId));
    }

    @Override
    public void loaded(PluginDescriptor plugin) {
        if (!framework.has(plugin.id(), EXTENSION)) {
            return;
        }
        try {
            JsonObject answer = JsonParser.parseString(requests.ask(plugin, EXTENSION, "notifications-interested-in"))
                    .getAsJsonObject();
            if (!answer.has("notifications")) {
                throw new PluginException("the answer has no notifications");
            }
            List<String> names = new ArrayList<>();
            for (JsonElement name : answer.getAsJsonArray("notifications")) {
                names.add(name.getAsString());
            }
            interests.put(plugin.id(), names);
        } catch (RuntimeException failed) {
            LOG.warn("Error occurred during plugin notification interest registration.", failed);
        }
    }

    @Override
    public void unloading(PluginDescriptor plugin) {
        interests.remove(plugin.id());
    }
}
