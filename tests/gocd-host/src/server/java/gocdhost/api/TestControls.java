package gocdhost.api;

import java.io.IOException;
import java.util.stream.Collectors;

import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;

import gocdhost.GocdVersion;
import gocdhost.Json;
import gocdhost.config.AcceptedConfig;
import gocdhost.config.ConfigService;
import gocdhost.config.InvalidConfigException;
import gocdhost.config.SaveOrder;
import gocdhost.http.HttpRequest;
import gocdhost.http.HttpResponse;
import gocdhost.plugin.Plugins;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.osgi.PluginException;
import gocdhost.server.Launch;

/** What no GoCD has: tests save configurations, send requests to plugins and look inside the server. */
final class TestControls {
    private final ConfigService config;
    private final Plugins plugins;
    private final StateReport state;

    TestControls(Launch launch, GocdVersion version, ConfigService config, Plugins plugins) {
        this.config = config;
        this.plugins = plugins;
        this.state = new StateReport(launch, version, config, plugins);
    }

    HttpResponse handle(HttpRequest request) throws IOException {
        switch (request.method() + " " + request.path()) {
            case "GET /gocd-host/state":
                return HttpResponse.json(200, state.json());
            case "GET /gocd-host/threads":
                return HttpResponse.text(200, threads());
            case "GET /gocd-host/collect":
                System.gc();
                return HttpResponse.text(200, "collected\n");
            case "POST /gocd-host/save":
                return save(request);
            case "POST /gocd-host/plugin-request":
                return pluginRequest(request);
            default:
                return HttpResponse.text(404, "no control is called " + request.method() + " " + request.path() + "\n");
        }
    }

    private static String threads() {
        return Thread.getAllStackTraces().keySet().stream().map(thread -> thread.getName() + "\n").sorted()
                .collect(Collectors.joining());
    }

    private HttpResponse save(HttpRequest request) throws IOException {
        SaveOrder order;
        long pause;
        try {
            order = SaveOrder.of(request.parameter("order", "commit-first"));
            pause = Long.parseLong(request.parameter("pause", "0"));
        } catch (IllegalArgumentException wrong) {
            return HttpResponse.text(400, wrong.getMessage() + "\n");
        }
        try {
            AcceptedConfig accepted = config.save(request.body(), order, pause);
            return HttpResponse.json(200, Json.of("md5", accepted.config().md5()));
        } catch (InvalidConfigException refused) {
            return HttpResponse.text(422, refused.getMessage() + "\n");
        }
    }

    /** The answer is the code of the plugin, a line feed and the body: 404 for no plugin, 500 for an exception. */
    private HttpResponse pluginRequest(HttpRequest request) {
        String id = request.parameter("plugin", "");
        String extension = request.parameter("extension", "notification");
        PluginDescriptor plugin = plugins.plugin(id).orElse(null);
        if (plugin == null || plugin.isInvalid() || !plugins.has(plugin, extension)) {
            return HttpResponse.text(404, "404\nno running plugin " + id + " has the extension " + extension);
        }
        try {
            GoPluginApiResponse response =
                    plugins.send(plugin, extension, request.parameter("name", ""), request.body());
            return HttpResponse.text(200, response.responseCode() + "\n" + response.responseBody());
        } catch (PluginException thrown) {
            return HttpResponse.text(500, "500\n" + root(thrown));
        }
    }

    private static Throwable root(Throwable thrown) {
        Throwable root = thrown;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return root;
    }
}
