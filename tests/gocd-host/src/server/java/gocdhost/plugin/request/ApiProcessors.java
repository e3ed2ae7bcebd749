package gocdhost.plugin.request;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

import gocdhost.health.HealthMessages;

/** What plugins may ask the server. Requests that only other kinds of plugins make are not among them. */
public final class ApiProcessors {
    private final Map<String, ApiProcessor> processors = new HashMap<>();

    public ApiProcessors(HealthMessages health) {
        processors.put("go.processor.server-health.add-messages", new HealthMessageProcessor(health));
    }

    Optional<ApiProcessor> of(String api) {
        return Optional.ofNullable(processors.get(api));
    }
}
