package gocdhost.api;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;

import gocdhost.Json;
import gocdhost.plugin.Plugins;
import gocdhost.plugin.descriptor.PluginDescriptor;

/**
 * The list of plugins as GoCD's API gives it. Invalid ones are in it only if they are asked for; those that are still
 * loading are not in it.
 */
final class PluginInfo {
    private final Plugins plugins;

    PluginInfo(Plugins plugins) {
        this.plugins = plugins;
    }

    JsonObject list(boolean includeInvalid) {
        JsonArray list = new JsonArray();
        for (PluginDescriptor plugin : plugins.all()) {
            if (plugin.isActive() || includeInvalid && plugin.isInvalid()) {
                list.add(plugin(plugin));
            }
        }
        JsonObject embedded = new JsonObject();
        embedded.add("plugin_info", list);
        JsonObject answer = new JsonObject();
        answer.add("_embedded", embedded);
        return answer;
    }

    JsonObject plugin(PluginDescriptor plugin) {
        JsonObject answer = new JsonObject();
        answer.addProperty("id", plugin.id());
        answer.add("status", status(plugin));
        answer.addProperty("plugin_file_location", plugin.bundle().jar().file().getPath());
        return answer;
    }

    private static JsonObject status(PluginDescriptor plugin) {
        JsonObject status = Json.of("state", plugin.state());
        if (plugin.isInvalid()) {
            status.add("messages", Json.strings(plugin.messages()));
        }
        return status;
    }
}
