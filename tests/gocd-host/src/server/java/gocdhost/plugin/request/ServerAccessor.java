package gocdhost.plugin.request;

import java.util.Optional;

import com.thoughtworks.go.plugin.api.GoApplicationAccessor;
import com.thoughtworks.go.plugin.api.request.GoApiRequest;
import com.thoughtworks.go.plugin.api.response.DefaultGoApiResponse;
import com.thoughtworks.go.plugin.api.response.GoApiResponse;

import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.PluginDescriptor;

/** What a plugin gets to ask the server: a direct call on the plugin's own thread. */
final class ServerAccessor extends GoApplicationAccessor {
    private static final ServerLog LOG = new ServerLog(ServerAccessor.class);

    private final PluginDescriptor plugin;
    private final ApiProcessors processors;

    ServerAccessor(PluginDescriptor plugin, ApiProcessors processors) {
        this.plugin = plugin;
        this.processors = processors;
    }

    /** Looked up by the name alone: whether the request fits the extension, nobody checks. Unknown names get 404. */
    @Override
    public GoApiResponse submit(GoApiRequest request) {
        Optional<ApiProcessor> processor = processors.of(request.api());
        if (processor.isEmpty()) {
            LOG.warn("Plugin " + plugin.id() + " sent a request that could not be understood " + request.api()
                    + " at version " + request.apiVersion());
            return new DefaultGoApiResponse(404);
        }
        try {
            return processor.get().process(plugin, request);
        } catch (RuntimeException failed) {
            LOG.warn("Error while processing request api [" + request.api() + "]", failed);
            throw new RuntimeException("Error while processing request api " + request.api(), failed);
        }
    }
}
