package gocdhost.plugin.request;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

import com.thoughtworks.go.plugin.api.response.DefaultGoApiResponse;

import gocdhost.GocdVersion;
import gocdhost.config.ConfigService;
import gocdhost.health.HealthMessages;

/** What plugins may ask the server. Requests that only other kinds of plugins make are not among them. */
public final class ApiProcessors {
    private final Map<String, ApiProcessor> processors = new HashMap<>();

    public ApiProcessors(GocdVersion version, ConfigService config, HealthMessages health) {
        processors.put("go.processor.server-info.get", new ServerInfoProcessor(version, config));
        processors.put("go.processor.server-health.add-messages", new HealthMessageProcessor(health));
        // Nothing is ever saved here, and then GoCD answers 200 without a body.
        processors.put("go.processor.plugin-settings.get",
                (plugin, request) -> new DefaultGoApiResponse(DefaultGoApiResponse.SUCCESS_RESPONSE_CODE));
    }

    Optional<ApiProcessor> of(String api) {
        return Optional.ofNullable(processors.get(api));
    }
}
