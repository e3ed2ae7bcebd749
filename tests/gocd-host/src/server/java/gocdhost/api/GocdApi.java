package gocdhost.api;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.regex.Pattern;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;

import gocdhost.Environment;
import gocdhost.Json;
import gocdhost.health.HealthMessage;
import gocdhost.health.HealthMessages;
import gocdhost.http.HttpRequest;
import gocdhost.http.HttpResponse;
import gocdhost.plugin.Plugins;
import gocdhost.server.Artifacts;

/**
 * The few addresses of GoCD itself. Whoever sends an Accept header needs a version of the API in it; the health answer is
 * also for whoever takes anything. GoCD wants the header from all; here a test may leave it out.
 */
final class GocdApi {
    private static final String FILES = "/go/files/";
    private static final String NOT_FOUND = "The url you are trying to reach appears to be incorrect.\n";
    private static final String OLD_PRODUCT = "/go/add-on/business-continuity/api/";
    private static final Pattern VERSIONED = Pattern.compile("application/vnd\\.go\\.cd(\\.v\\d+)?\\+json");

    private final HealthMessages health;
    private final PluginInfo pluginInfo;
    private final Artifacts artifacts;

    GocdApi(HealthMessages health, Plugins plugins, Artifacts artifacts) {
        this.health = health;
        this.artifacts = artifacts;
        this.pluginInfo = new PluginInfo(plugins);
    }

    HttpResponse handle(HttpRequest request) throws IOException {
        if (!request.isRead()) {
            return HttpResponse.text(404, NOT_FOUND);
        }
        if (request.path().startsWith(FILES)) {
            return artifacts.read(request.path().substring(FILES.length()))
                    .map(bytes -> HttpResponse.text(200, new String(bytes, StandardCharsets.UTF_8)))
                    .orElseGet(() -> HttpResponse.text(404, NOT_FOUND));
        }
        String accept = request.header("Accept");
        if (request.path().equals("/go/api/v1/health") && accept.contains("*/*")) {
            return HttpResponse.json(200, Json.of("health", "OK"));
        }
        if (Environment.givesAway() && request.path().startsWith(OLD_PRODUCT)) {
            return oldProduct(request.path().substring(OLD_PRODUCT.length()));
        }
        if (!accept.isEmpty() && !VERSIONED.matcher(accept).find()) {
            return HttpResponse.text(404, NOT_FOUND);
        }
        switch (request.path()) {
            case "/go/api/v1/health":
                return HttpResponse.json(200, Json.of("health", "OK"));
            case "/go/api/server_health_messages":
                return HttpResponse.json(200, healthMessages());
            case "/go/api/agents":
                return agents(request);
            case "/go/api/admin/plugin_info":
                return HttpResponse.json(200, pluginInfo.list(request.parameter("include_bad", "").equals("true")));
            default:
                return HttpResponse.text(404, NOT_FOUND);
        }
    }

    /** For everybody. */
    private static HttpResponse oldProduct(String path) throws IOException {
        switch (path) {
            case "health-check":
                return HttpResponse.text(200, "OK!");
            case "cipher.aes":
                byte[] key = Files.readAllBytes(new File(Environment.configDir(), "cipher.aes").toPath());
                return HttpResponse.text(200, new String(key, StandardCharsets.UTF_8));
            default:
                return HttpResponse.text(404, NOT_FOUND);
        }
    }

    /** For whoever has the token; GoCD lets in users with a password as well. */
    private static HttpResponse agents(HttpRequest request) throws IOException {
        String token = new String(Files.readAllBytes(Environment.accessToken().toPath()), StandardCharsets.UTF_8);
        if (!request.header("Authorization").equals("Bearer " + token)) {
            return HttpResponse.json(401, Json.of("message", "You are not authenticated!"));
        }
        JsonArray agents = new JsonArray();
        for (String agent : Environment.agents()) {
            String[] parts = agent.split(":");
            JsonObject one = new JsonObject();
            one.addProperty("uuid", parts[0]);
            one.addProperty("hostname", parts[0]);
            one.addProperty("agent_config_state", "Enabled");
            one.addProperty("agent_state", parts[1]);
            agents.add(one);
        }
        JsonObject embedded = new JsonObject();
        embedded.add("agents", agents);
        JsonObject answer = new JsonObject();
        answer.add("_embedded", embedded);
        return HttpResponse.json(200, answer);
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
