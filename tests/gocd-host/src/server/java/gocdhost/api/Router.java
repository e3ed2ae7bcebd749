package gocdhost.api;

import gocdhost.GocdVersion;
import gocdhost.config.ConfigService;
import gocdhost.health.HealthMessages;
import gocdhost.http.HttpHandler;
import gocdhost.http.HttpRequest;
import gocdhost.http.HttpResponse;
import gocdhost.plugin.Plugins;
import gocdhost.server.Launch;

/** Which address is answered by whom. Until the server is up everything gets 503. */
public final class Router implements HttpHandler {
    private static final String CONTROLS = "/gocd-host/";

    private final GocdApi api;
    private final TestControls controls;
    private final PassiveFilter passive;
    private volatile boolean up;

    public Router(Launch launch, GocdVersion version, HealthMessages health, ConfigService config, Plugins plugins) {
        api = new GocdApi(version, health, plugins);
        passive = new PassiveFilter(version);
        controls = new TestControls(launch, version, config, plugins);
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
        return passive.refuses(request) ? HttpResponse.found("/go/errors/inactive") : api.handle(request);
    }
}
