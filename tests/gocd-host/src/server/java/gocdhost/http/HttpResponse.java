package gocdhost.http;

import java.util.LinkedHashMap;
import java.util.Map;

import com.google.gson.JsonElement;

import gocdhost.Json;

/** One answer. */
public final class HttpResponse {
    private final int status;
    private final String body;
    private final Map<String, String> headers = new LinkedHashMap<>();

    private HttpResponse(int status, String contentType, String body) {
        this.status = status;
        this.body = body;
        headers.put("Content-Type", contentType);
    }

    public static HttpResponse text(int status, String body) {
        return new HttpResponse(status, "text/plain;charset=utf-8", body);
    }

    public static HttpResponse html(int status, String body) {
        return new HttpResponse(status, "text/html;charset=utf-8", body);
    }

    public static HttpResponse json(int status, JsonElement body) {
        return new HttpResponse(status, "application/json;charset=utf-8", Json.text(body));
    }

    public static HttpResponse found(String location) {
        return text(302, "").with("Location", location);
    }

    /** The same answer with one more header. */
    public HttpResponse with(String header, String value) {
        headers.put(header, value);
        return this;
    }

    int status() {
        return status;
    }

    Map<String, String> headers() {
        return headers;
    }

    String body() {
        return body;
    }
}
