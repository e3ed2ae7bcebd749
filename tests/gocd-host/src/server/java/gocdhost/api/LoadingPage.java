package gocdhost.api;

import gocdhost.Json;
import gocdhost.http.HttpRequest;
import gocdhost.http.HttpResponse;

/** The answer to everything while the server starts. */
final class LoadingPage {
    private static final String TEXT = "GoCD server is starting";

    private LoadingPage() {
    }

    static HttpResponse answer(HttpRequest request) {
        String accept = request.header("Accept");
        if (accept.contains("json")) {
            return uncached(HttpResponse.json(503, Json.of("message", TEXT)));
        }
        if (accept.isEmpty() || accept.contains("html")) {
            String body = "<!DOCTYPE html><html><head><title>" + TEXT + "</title></head><body>" + TEXT
                    + "</body></html>\n";
            return uncached(HttpResponse.html(503, body));
        }
        return uncached(HttpResponse.text(503, TEXT + "\n"));
    }

    private static HttpResponse uncached(HttpResponse response) {
        return response.with("Cache-Control", "no-cache, must-revalidate, no-store");
    }
}
