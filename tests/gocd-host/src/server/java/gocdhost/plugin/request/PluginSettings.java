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

/**
 * Asks each plugin, once it is loaded, for the form of its settings. Most plugins have none, and that is no fault; two
 * extensions of one plugin that both answer are one.
 */
public final class PluginSettings implements PluginListener {
    private static final ServerLog LOG = new ServerLog(PluginSettings.class);

    private final OsgiFramework framework;
    private final PluginRequests requests;
    private final Map<String, JsonObject> forms = new ConcurrentHashMap<>();

    public PluginSettings(OsgiFramework framework, PluginRequests requests) {
        this.framework = framework;
        this.requests = requests;
    }

    /** The form of a plugin: extension, configurations and view. */
    public Optional<JsonObject> form(String pluginId) {
        return Optional.ofNullable(forms.get(pluginId));
    }

    @Override
    public void loaded(PluginDescriptor plugin) {
        List<JsonObject> answers = new ArrayList<>();
        for (String extension : framework.extensions(plugin.id()).keySet()) {
            if (!extension.equals("task")) {
                ask(plugin, extension).ifPresent(answers::add);
            }
        }
        if (answers.size() > 1) {
            throw new PluginException("Plugin with ID: " + plugin.id() + " has more than one extension which supports"
                    + " plugin settings. Only one extension should support it and respond to "
                    + "go.plugin-settings.get-configuration and go.plugin-settings.get-view.");
        }
        answers.forEach(form -> forms.put(plugin.id(), form));
    }

    @Override
    public void unloading(PluginDescriptor plugin) {
        forms.remove(plugin.id());
    }

    private Optional<JsonObject> ask(PluginDescriptor plugin, String extension) {
        try {
            JsonObject configuration = object(requests.ask(plugin, extension, "go.plugin-settings.get-configuration"));
            JsonObject view = object(requests.ask(plugin, extension, "go.plugin-settings.get-view"));
            if (configuration.size() == 0 || !view.has("template")) {
                throw new PluginException("the configuration is empty, or the view has no template");
            }
            JsonObject form = new JsonObject();
            form.addProperty("extension", extension);
            form.add("configuration", configuration);
            form.add("view", view);
            return Optional.of(form);
        } catch (RuntimeException none) {
            LOG.warn("Failed to fetch plugin settings metadata for plugin " + plugin.id() + " (" + extension + "): "
                    + none.getMessage() + ". Not all plugins are required to implement the request above."
                    + " This error may be safe to ignore.");
            return Optional.empty();
        }
    }

    private static JsonObject object(String text) {
        JsonElement element = JsonParser.parseString(text);
        return element.getAsJsonObject();
    }
}
