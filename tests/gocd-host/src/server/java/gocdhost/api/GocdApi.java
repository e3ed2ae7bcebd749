package gocdhost.api;

import java.util.regex.Pattern;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;

import gocdhost.Json;
import gocdhost.health.HealthMessage;
import gocdhost.health.HealthMessages;
import gocdhost.http.HttpRequest;
import gocdhost.http.HttpResponse;
import gocdhost.plugin.Plugins;

/**
 * The few addresses of GoCD itself. Whoever sends an Accept header needs a version of the API in it, but for the health
 * answer. GoCD wants the header from all; here a test may leave it out.
 */
final class GocdApi {
    private static final String NOT_FOUND = "The url you are trying to reach appears to be incorrect.\n";
    private static final Pattern VERSIONED = Pattern.compile("application/vnd\\.go\\.cd(\\.v\\d+)?\\+json");

    private final HealthMessages health;
    private final PluginInfo pluginInfo;

    GocdApi(HealthMessages health, Plugins plugins) {
        this.health = health;
        this.pluginInfo = new PluginInfo(plugins);
    }

    HttpResponse handle(HttpRequest request) {
        if (!request.isRead()) {
            return HttpResponse.text(404, NOT_FOUND);
        }
        if (request.path().equals("/go/api/v1/health")) {
            return HttpResponse.json(200, Json.of("health", "OK"));
        }
        String accept = request.header("Accept");
        if (!accept.isEmpty() && !VERSIONED.matcher(accept).find()) {
            return HttpResponse.text(404, NOT_FOUND);
        }
        switch (request.path()) {
            case "/go/api/server_health_messages":
                return HttpResponse.json(200, healthMessages());
            case "/go/api/admin/plugin_info":
                return HttpResponse.json(200, pluginInfo.list(request.parameter("include_bad", "").equals("true")));
            default:
                return HttpResponse.text(404, NOT_FOUND);
        }
    }

    private JsonArray healthMessages() {
        JsonArray answer = new JsonArray();
        for (HealthMessage message : health.all()) {
            JsonObject one = new JsonObject();
            one.addProperty("message", message.title());
            one.addProperty("detail", message.detail());
            one.addProperty("level", message.level());
            one.addProperty("time", message.time().toString());
            answer.add(one);
        }
        return answer;
    }
}
