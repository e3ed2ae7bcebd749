package gocdhost.plugin.request;

import java.util.ArrayList;
import java.util.List;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.thoughtworks.go.plugin.api.request.GoApiRequest;
import com.thoughtworks.go.plugin.api.response.DefaultGoApiResponse;
import com.thoughtworks.go.plugin.api.response.GoApiResponse;

import gocdhost.Json;
import gocdhost.health.HealthMessage;
import gocdhost.health.HealthMessages;
import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.PluginDescriptor;

/** Replaces all health messages of a plugin. A message of any type but warning is shown as an error. */
final class HealthMessageProcessor implements ApiProcessor {
    private static final ServerLog LOG = new ServerLog(HealthMessageProcessor.class);

    private final HealthMessages health;

    HealthMessageProcessor(HealthMessages health) {
        this.health = health;
    }

    @Override
    public GoApiResponse process(PluginDescriptor plugin, GoApiRequest request) {
        try {
            if (!"1.0".equals(request.apiVersion())) {
                throw new IllegalArgumentException("there is no version " + request.apiVersion());
            }
            String title = "Message from plugin: " + plugin.id();
            List<HealthMessage> messages = new ArrayList<>();
            for (JsonElement element : JsonParser.parseString(request.requestBody()).getAsJsonArray()) {
                messages.add(message(title, element.getAsJsonObject()));
            }
            health.replace("plugin " + plugin.id(), messages);
            return new DefaultGoApiResponse(DefaultGoApiResponse.SUCCESS_RESPONSE_CODE);
        } catch (RuntimeException failed) {
            LOG.warn("Failed to handle message from plugin " + plugin.id() + ": " + request.requestBody(), failed);
            DefaultGoApiResponse response = new DefaultGoApiResponse(DefaultGoApiResponse.INTERNAL_ERROR);
            String message = "Failed to deserialize message from plugin: " + request.requestBody();
            response.setResponseBody(Json.compact(Json.of("message", message)));
            return response;
        }
    }

    private static HealthMessage message(String title, JsonObject message) {
        String detail = message.get("message").getAsString();
        boolean warning = message.has("type") && message.get("type").getAsString().equalsIgnoreCase("warning");
        return warning ? HealthMessage.warning(title, detail) : HealthMessage.error(title, detail);
    }
}
