package gocdhost.api;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;

import gocdhost.Environment;
import gocdhost.GocdVersion;
import gocdhost.Json;
import gocdhost.config.AcceptedConfig;
import gocdhost.config.ConfigService;
import gocdhost.plugin.Plugins;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.server.Launch;
import gocdhost.server.ServerMode;

/** The inside of the server, as tests see it. */
final class StateReport {
    private final Launch launch;
    private final GocdVersion version;
    private final ConfigService config;
    private final Plugins plugins;

    StateReport(Launch launch, GocdVersion version, ConfigService config, Plugins plugins) {
        this.launch = launch;
        this.version = version;
        this.config = config;
        this.plugins = plugins;
    }

    JsonObject json() {
        JsonObject state = new JsonObject();
        state.addProperty("version", version.toString());
        state.addProperty("pid", ProcessHandle.current().pid());
        state.addProperty("passive", ServerMode.isPassive(version));
        state.addProperty("maintenance_mode", Environment.startsInMaintenanceMode());
        state.add("launcher", launcher());
        config.current().ifPresent(accepted -> state.add("config", config(accepted)));
        JsonArray list = new JsonArray();
        plugins.all().forEach(plugin -> list.add(plugin(plugin)));
        state.add("plugins", list);
        return state;
    }

    private JsonObject launcher() {
        JsonObject launcher = new JsonObject();
        launcher.addProperty("time", launch.time());
        launcher.addProperty("after_jvm_start", launch.afterJvmStart());
        JsonObject properties = new JsonObject();
        launch.properties().forEach(properties::addProperty);
        launcher.add("properties", properties);
        return launcher;
    }

    private JsonObject config(AcceptedConfig accepted) {
        JsonObject answer = new JsonObject();
        answer.addProperty("file", config.path().getAbsolutePath());
        answer.addProperty("md5", accepted.config().md5());
        answer.addProperty("source", accepted.source());
        answer.addProperty("number", accepted.number());
        answer.addProperty("time", accepted.time().toEpochMilli());
        return answer;
    }

    private JsonObject plugin(PluginDescriptor plugin) {
        JsonObject answer = new JsonObject();
        answer.addProperty("id", plugin.id());
        answer.addProperty("state", plugin.state());
        answer.add("messages", Json.strings(plugin.messages()));
        answer.addProperty("file", plugin.bundle().jar().file().getPath());
        plugins.interests(plugin).ifPresent(names -> answer.add("notifications", Json.strings(names)));
        return answer;
    }
}
