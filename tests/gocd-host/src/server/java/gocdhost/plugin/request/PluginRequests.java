package gocdhost.plugin.request;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

import com.thoughtworks.go.plugin.api.GoPlugin;
import com.thoughtworks.go.plugin.api.exceptions.UnhandledRequestTypeException;
import com.thoughtworks.go.plugin.api.request.DefaultGoPluginApiRequest;
import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;

import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.load.ExtensionCheck;
import gocdhost.plugin.load.PluginListener;
import gocdhost.plugin.osgi.OsgiFramework;
import gocdhost.plugin.osgi.PluginException;

/**
 * Requests of the server to plugins, on the caller's thread and without a limit of time. Before the first request to
 * an extension it is given the accessor to the server, under a lock that all plugins share.
 */
public final class PluginRequests implements PluginListener {
    private static final ServerLog LOG = new ServerLog(PluginRequests.class);

    private final OsgiFramework framework;
    private final ExtensionCheck check;
    private final ApiProcessors processors;
    private final Map<PluginDescriptor, Set<String>> initialized = new HashMap<>();

    public PluginRequests(OsgiFramework framework, ExtensionCheck check, ApiProcessors processors) {
        this.framework = framework;
        this.check = check;
        this.processors = processors;
    }

    /**
     * Sends a request and returns the answer, whatever its code.
     *
     * @throws PluginException there is no such extension, or it threw, or answered nothing
     */
    public GoPluginApiResponse send(PluginDescriptor plugin, String extension, String name, String body) {
        List<String> versions =
                framework.call(plugin.id(), extension, it -> it.pluginIdentifier().getSupportedExtensionVersions());
        String version = check.newestCommon(extension, versions).orElseThrow(() -> new PluginException(
                "Could not find matching extension version between Plugin[" + plugin.id() + "] and Go"));
        DefaultGoPluginApiRequest request = new DefaultGoPluginApiRequest(extension, version, name);
        request.setRequestBody(body);
        GoPluginApiResponse response = framework.call(plugin.id(), extension, it -> {
            giveAccessor(plugin, extension, it);
            try {
                return it.handle(request);
            } catch (UnhandledRequestTypeException unhandled) {
                LOG.error(unhandled.getMessage());
                throw new PluginException(unhandled.toString(), unhandled);
            }
        });
        if (response == null) {
            throw new PluginException("The plugin sent a null response");
        }
        return response;
    }

    /** Sends a request and returns the body of the answer. Any code but 200 is an exception too. */
    public String ask(PluginDescriptor plugin, String extension, String name) {
        GoPluginApiResponse response = send(plugin, extension, name, null);
        if (response.responseCode() != 200) {
            throw new PluginException("The plugin sent a response that could not be understood by Go. Plugin returned"
                    + " with code '" + response.responseCode() + "' and the following response: '"
                    + response.responseBody() + "'");
        }
        return response.responseBody();
    }

    @Override
    public void loaded(PluginDescriptor plugin) {
        // The accessor is given with the first request.
    }

    @Override
    public void unloading(PluginDescriptor plugin) {
        synchronized (initialized) {
            initialized.remove(plugin);
        }
    }

    private void giveAccessor(PluginDescriptor plugin, String extension, GoPlugin instance) {
        synchronized (initialized) {
            if (initialized.computeIfAbsent(plugin, one -> new HashSet<>()).add(extension)) {
                instance.initializeGoApplicationAccessor(new ServerAccessor(plugin, processors));
            }
        }
    }
}
