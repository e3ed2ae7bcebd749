package gocdhost.http;

import java.util.Locale;
import java.util.Map;

/** One request. The names of headers are in lower case. */
public final class HttpRequest {
    private final String method;
    private final String path;
    private final Map<String, String> parameters;
    private final Map<String, String> headers;
    private final String body;

    HttpRequest(String method, String path, Map<String, String> parameters, Map<String, String> headers, String body) {
        this.method = method;
        this.path = path;
        this.parameters = parameters;
        this.headers = headers;
        this.body = body;
    }

    public String method() {
        return method;
    }

    /** Decoded, without the query. */
    public String path() {
        return path;
    }

    /** The first value of a query parameter; the fallback where there is none. */
    public String parameter(String name, String fallback) {
        return parameters.getOrDefault(name, fallback);
    }

    /** Empty where there is no such header. */
    public String header(String name) {
        return headers.getOrDefault(name.toLowerCase(Locale.ROOT), "");
    }

    public String body() {
        return body;
    }

    public boolean isRead() {
        return method.equals("GET") || method.equals("HEAD");
    }
}
