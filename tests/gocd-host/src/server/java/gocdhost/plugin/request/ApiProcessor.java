package gocdhost.plugin.request;

import com.thoughtworks.go.plugin.api.request.GoApiRequest;
import com.thoughtworks.go.plugin.api.response.GoApiResponse;

import gocdhost.plugin.descriptor.PluginDescriptor;

/** Answers one kind of request that plugins make. */
interface ApiProcessor {
    GoApiResponse process(PluginDescriptor plugin, GoApiRequest request);
}
