package gocdhost.plugin;

import java.io.IOException;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;

import com.google.gson.JsonObject;
import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;

import gocdhost.GocdVersion;
import gocdhost.config.ConfigService;
import gocdhost.health.HealthMessages;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.load.ExtensionCheck;
import gocdhost.plugin.load.PluginDeployment;
import gocdhost.plugin.load.PluginRegistry;
import gocdhost.plugin.load.RegistryService;
import gocdhost.plugin.osgi.OsgiFramework;
import gocdhost.plugin.osgi.PluginException;
import gocdhost.plugin.request.ApiProcessors;
import gocdhost.plugin.request.NotificationInterests;
import gocdhost.plugin.request.PluginRequests;
import gocdhost.plugin.request.PluginSettings;

/**
 * The plugins of the server, put together.
 *
 * <pre>
 * plugin.descriptor   what a jar says about itself
 * plugin.load         from the folder to a running plugin and back
 * plugin.osgi         Apache Felix
 * plugin.request      what the server asks plugins, and they the server
 * </pre>
 */
public final class Plugins {
    private final PluginRegistry registry = new PluginRegistry();
    private final OsgiFramework framework = new OsgiFramework(new RegistryService(registry));
    private final PluginRequests requests;
    private final PluginSettings settings;
    private final NotificationInterests interests;
    private final PluginDeployment deployment;

    public Plugins(GocdVersion version, HealthMessages health, ConfigService config) {
        ExtensionCheck check = new ExtensionCheck(version);
        requests = new PluginRequests(framework, check, new ApiProcessors(version, config, health));
        settings = new PluginSettings(framework, requests);
        interests = new NotificationInterests(framework, requests);
        deployment = new PluginDeployment(registry, framework, check, version);
        deployment.add(requests);
        deployment.add(settings);
        deployment.add(interests);
    }

    /** Begins to load them, on a daemon thread, and returns. */
    public void start() throws IOException {
        deployment.start();
    }

    /** Valid and invalid ones, by id. */
    public Collection<PluginDescriptor> all() {
        return registry.all();
    }

    public Optional<PluginDescriptor> plugin(String id) {
        return registry.plugin(id);
    }

    /** The extension types of a plugin that runs. */
    public Collection<String> extensions(PluginDescriptor plugin) {
        return plugin.isActive() ? new TreeSet<>(framework.extensions(plugin.id()).keySet()) : new TreeSet<>();
    }

    public boolean has(PluginDescriptor plugin, String extension) {
        return framework.has(plugin.id(), extension);
    }

    /** The form of a plugin's settings: extension, configuration and view. */
    public Optional<JsonObject> settingsForm(PluginDescriptor plugin) {
        return settings.form(plugin.id());
    }

    /** The notifications that a plugin asked for. */
    public Optional<List<String>> interests(PluginDescriptor plugin) {
        return interests.of(plugin.id());
    }

    /** @throws PluginException there is no such extension, or it threw */
    public GoPluginApiResponse send(PluginDescriptor plugin, String extension, String name, String body) {
        return requests.send(plugin, extension, name, body);
    }
}
