package gocdhost.api;

import gocdhost.health.HealthMessages;
import gocdhost.http.HttpHandler;
import gocdhost.http.HttpRequest;
import gocdhost.http.HttpResponse;
import gocdhost.plugin.Plugins;
import gocdhost.server.Artifacts;
import gocdhost.server.Launch;

/** Which address is answered by whom. Until the server is up everything gets 503. */
public final class Router implements HttpHandler {
    private static final String CONTROLS = "/gocd-host/";

    private final GocdApi api;
    private final TestControls controls;
    private volatile boolean up;

    public Router(Launch launch, HealthMessages health, Plugins plugins, Artifacts artifacts) {
        api = new GocdApi(health, plugins, artifacts);
        controls = new TestControls(launch, plugins);
    }

    /** From now on the server answers. */
    public void serverIsUp() {
        up = true;
    }

    @Override
    public HttpResponse handle(HttpRequest request) throws Exception {
        if (!up) {
            return LoadingPage.answer(request);
        }
        if (request.path().startsWith(CONTROLS)) {
            return controls.handle(request);
        }
        if (request.path().equals("/")) {
            return HttpResponse.found("/go" + System.getProperty("go.landing.page", "/pipelines"));
        }
        return api.handle(request);
    }
}
