package gocdhost.api;

import java.util.Map;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;

import gocdhost.Json;
import gocdhost.plugin.Plugins;
import gocdhost.plugin.descriptor.About;
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
        answer.addProperty("bundled_plugin", plugin.bundle().jar().isBundled());
        if (plugin.about() != null) {
            answer.add("about", about(plugin.about()));
        }
        JsonArray extensions = new JsonArray();
        for (String type : plugins.extensions(plugin)) {
            JsonObject extension = Json.of("type", type);
            plugins.settingsForm(plugin).filter(form -> form.get("extension").getAsString().equals(type))
                    .ifPresent(form -> extension.add("plugin_settings", settings(form)));
            extensions.add(extension);
        }
        answer.add("extensions", extensions);
        return answer;
    }

    private static JsonObject status(PluginDescriptor plugin) {
        JsonObject status = Json.of("state", plugin.state());
        if (plugin.isInvalid()) {
            status.add("messages", Json.strings(plugin.messages()));
        }
        return status;
    }

    private static JsonObject about(About about) {
        JsonObject answer = new JsonObject();
        answer.addProperty("name", about.name());
        answer.addProperty("version", about.version());
        answer.addProperty("target_go_version", about.targetGoVersion());
        answer.addProperty("description", about.description());
        answer.add("target_operating_systems", Json.strings(about.targetOperatingSystems()));
        if (about.vendorName() == null) {
            // GoCD does not look whether there is a vendor, and its whole list fails.
            throw new NullPointerException("a plugin has no vendor: " + about.name());
        }
        JsonObject vendor = new JsonObject();
        vendor.addProperty("name", about.vendorName());
        vendor.addProperty("url", about.vendorUrl());
        answer.add("vendor", vendor);
        return answer;
    }

    private static JsonObject settings(JsonObject form) {
        JsonArray configurations = new JsonArray();
        for (Map.Entry<String, JsonElement> setting : form.getAsJsonObject("configuration").entrySet()) {
            JsonObject configuration = Json.of("key", setting.getKey());
            JsonObject metadata = new JsonObject();
            JsonObject given = setting.getValue().getAsJsonObject();
            for (String flag : new String[] {"required", "secure"}) {
                metadata.addProperty(flag, given.has(flag) && given.get(flag).getAsBoolean());
            }
            configuration.add("metadata", metadata);
            configurations.add(configuration);
        }
        JsonObject settings = new JsonObject();
        settings.add("configurations", configurations);
        settings.add("view", form.get("view"));
        return settings;
    }
}
