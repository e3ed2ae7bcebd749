package gocdhost.plugin;

import java.io.IOException;
import java.util.Collection;
import java.util.Optional;

import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;

import gocdhost.GocdVersion;
import gocdhost.health.HealthMessages;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.load.ExtensionCheck;
import gocdhost.plugin.load.PluginDeployment;
import gocdhost.plugin.load.PluginRegistry;
import gocdhost.plugin.load.RegistryService;
import gocdhost.plugin.osgi.OsgiFramework;
import gocdhost.plugin.osgi.PluginException;
import gocdhost.plugin.request.ApiProcessors;
import gocdhost.plugin.request.FirstRequests;
import gocdhost.plugin.request.PluginRequests;

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
    private final PluginDeployment deployment;

    public Plugins(GocdVersion version, HealthMessages health) {
        ExtensionCheck check = new ExtensionCheck(version);
        requests = new PluginRequests(framework, check, new ApiProcessors(health));
        deployment = new PluginDeployment(registry, framework, check, version);
        deployment.add(requests);
        deployment.add(new FirstRequests(framework, requests));
    }

    /** Begins to load them, on a daemon thread, and returns. */
    public void start() throws IOException {
        deployment.start();
    }

    /** Waits until all that was there at the start is loaded, or is known not to load. */
    public void awaitFirstLook() throws InterruptedException {
        deployment.awaitFirstLook();
    }

    /** Valid and invalid ones, by id. */
    public Collection<PluginDescriptor> all() {
        return registry.all();
    }

    public Optional<PluginDescriptor> plugin(String id) {
        return registry.plugin(id);
    }

    public boolean has(PluginDescriptor plugin, String extension) {
        return framework.has(plugin.id(), extension);
    }

    /** @throws PluginException there is no such extension, or it threw */
    public GoPluginApiResponse send(PluginDescriptor plugin, String extension, String name, String body) {
        return requests.send(plugin, extension, name, body);
    }
}
