package gocdhost.plugin.request;

import java.util.Optional;

import com.google.gson.JsonObject;
import com.thoughtworks.go.plugin.api.request.GoApiRequest;
import com.thoughtworks.go.plugin.api.response.DefaultGoApiResponse;
import com.thoughtworks.go.plugin.api.response.GoApiResponse;

import gocdhost.GocdVersion;
import gocdhost.Json;
import gocdhost.config.AcceptedConfig;
import gocdhost.config.ConfigService;
import gocdhost.config.CruiseConfig;
import gocdhost.plugin.descriptor.PluginDescriptor;

/** Ids, addresses and version of the server. Fails until the configuration is loaded. */
final class ServerInfoProcessor implements ApiProcessor {
    private final GocdVersion version;
    private final ConfigService service;

    ServerInfoProcessor(GocdVersion version, ConfigService service) {
        this.version = version;
        this.service = service;
    }

    @Override
    public GoApiResponse process(PluginDescriptor plugin, GoApiRequest request) {
        boolean first = "1.0".equals(request.apiVersion());
        if (!first && !"2.0".equals(request.apiVersion())) {
            return failure("there is no version " + request.apiVersion());
        }
        Optional<AcceptedConfig> accepted = service.current();
        if (accepted.isEmpty()) {
            return failure("the configuration is not loaded yet");
        }
        CruiseConfig config = accepted.get().config();
        JsonObject info = new JsonObject();
        info.addProperty("server_id", config.serverAttribute("serverId"));
        info.addProperty("site_url", config.elementText("siteUrl"));
        info.addProperty("secure_site_url", config.elementText("secureSiteUrl"));
        if (!first) {
            info.addProperty("go_version", version.release());
            info.addProperty("dist_version", version.build());
            info.addProperty("git_revision", GocdVersion.REVISION);
        }
        return DefaultGoApiResponse.success(Json.compact(info));
    }

    private static GoApiResponse failure(String reason) {
        return DefaultGoApiResponse.badRequest("Error while processing get ServerInfo request - " + reason);
    }
}
