package gocdhost.plugins;

import com.thoughtworks.go.plugin.api.GoApplicationAccessor;
import com.thoughtworks.go.plugin.api.request.GoApiRequest;
import com.thoughtworks.go.plugin.api.response.DefaultGoApiResponse;
import com.thoughtworks.go.plugin.api.response.GoApiResponse;
import gocdhost.HealthMessages;
import gocdhost.Json;

/** What a plugin can ask the server: health messages and who the server is. */
final class Accessor extends GoApplicationAccessor {
    private final String pluginId;
    private final HealthMessages health;

    Accessor(String pluginId, HealthMessages health) {
        this.pluginId = pluginId;
        this.health = health;
    }

    @Override
    public GoApiResponse submit(GoApiRequest request) {
        switch (request.api()) {
            case "go.processor.server-health.add-messages":
                try {
                    health.replace("Message from plugin: " + pluginId, Json.healthMessages(request.requestBody()));
                    return new DefaultGoApiResponse(200);
                } catch (IllegalArgumentException malformed) {
                    return answer(500, malformed.getMessage());
                }
            case "go.processor.server-info.get":
                return answer(200, "{\"server_id\":\"stand-in\",\"site_url\":\"\",\"secure_site_url\":\"\"}");
            default:
                return new DefaultGoApiResponse(404);
        }
    }

    private static GoApiResponse answer(int code, String body) {
        DefaultGoApiResponse response = new DefaultGoApiResponse(code);
        response.setResponseBody(body);
        return response;
    }
}
