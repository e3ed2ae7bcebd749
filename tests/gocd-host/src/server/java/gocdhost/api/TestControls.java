package gocdhost.api;

import com.google.gson.JsonObject;
import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;

import gocdhost.http.HttpRequest;
import gocdhost.http.HttpResponse;
import gocdhost.plugin.Plugins;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.osgi.PluginException;
import gocdhost.server.Launch;

/** What no GoCD has: tests send requests to plugins and look inside the server. */
final class TestControls {
    private final Launch launch;
    private final Plugins plugins;

    TestControls(Launch launch, Plugins plugins) {
        this.launch = launch;
        this.plugins = plugins;
    }

    HttpResponse handle(HttpRequest request) {
        switch (request.method() + " " + request.path()) {
            case "GET /gocd-host/launch":
                JsonObject seen = new JsonObject();
                launch.properties().forEach(seen::addProperty);
                return HttpResponse.json(200, seen);
            case "GET /gocd-host/collect":
                System.gc();
                return HttpResponse.text(200, "collected\n");
            case "POST /gocd-host/plugin-request":
                return pluginRequest(request);
            default:
                return HttpResponse.text(404, "no control is called " + request.method() + " " + request.path() + "\n");
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
