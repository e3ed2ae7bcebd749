package gocdhost;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import gocdhost.plugins.PluginManager;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;

/** GoCD's port: 503 while starting, then the few answers that tests and probes need, and controls for the tests. */
final class HttpFace {
    private final ConfigFile config;
    private final HealthMessages health;
    private final PluginManager plugins;
    private volatile boolean healthy;

    HttpFace(ConfigFile config, HealthMessages health, PluginManager plugins) {
        this.config = config;
        this.health = health;
        this.plugins = plugins;
    }

    void open() throws IOException {
        InetSocketAddress address = Settings.host().isEmpty() ? new InetSocketAddress(Settings.port())
                : new InetSocketAddress(InetAddress.getByName(Settings.host()), Settings.port());
        HttpServer server = HttpServer.create(address, 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", this::answer);
        server.start();
    }

    void healthy() {
        healthy = true;
    }

    private void answer(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        try {
            if (path.startsWith("/gocd-host/")) {
                control(exchange, path.substring("/gocd-host/".length()));
            } else if (!healthy) {
                send(exchange, 503, "text/plain", "GoCD server is starting");
            } else {
                ofGocd(exchange, path);
            }
        } catch (Exception failed) {
            send(exchange, 500, "text/plain", failed.toString());
        }
    }

    private void ofGocd(HttpExchange exchange, String path) throws IOException {
        switch (path) {
            case "/go/api/v1/health":
                send(exchange, 200, "application/json", "{\n  \"health\": \"OK\"\n}");
                break;
            case "/go/api/server_health_messages":
                send(exchange, 200, "application/json", health.asJson());
                break;
            case "/go/api/admin/plugin_info":
                send(exchange, 200, "application/json", plugins.asJson());
                break;
            default:
                send(exchange, 404, "text/plain", "The url you are trying to reach appears to be incorrect.");
        }
    }

    private void control(HttpExchange exchange, String verb) throws Exception {
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        Map<String, String> query = query(exchange);
        switch (verb) {
            case "save":
                String mistake = config.save(body, !"write-first".equals(query.get("order")));
                send(exchange, mistake == null ? 200 : 422, "text/plain", mistake == null ? "saved" : mistake);
                break;
            case "plugin-request":
                send(exchange, 200, "text/plain", plugins.request(query.get("plugin"), query.get("name"), body));
                break;
            case "threads":
                send(exchange, 200, "text/plain", threads());
                break;
            case "collect":
                System.gc();
                send(exchange, 200, "text/plain", "collected");
                break;
            case "state":
                send(exchange, 200, "application/json", state());
                break;
            default:
                send(exchange, 404, "text/plain", "save, plugin-request, threads, collect or state");
        }
    }

    private String state() throws Exception {
        String text = config.inMemory();
        byte[] digest = MessageDigest.getInstance("MD5").digest(text == null ? new byte[0]
                : text.getBytes(StandardCharsets.UTF_8));
        StringBuilder md5 = new StringBuilder();
        for (byte one : digest) {
            md5.append(String.format("%02x", one));
        }
        return "{\"config_md5\":\"" + md5 + "\",\"go.server.mode\":" + Json.quote(System.getProperty("go.server.mode"))
                + ",\"go.server.state\":" + Json.quote(System.getProperty("go.server.state")) + ",\"healthy\":" + healthy
                + "}";
    }

    private static String threads() {
        StringBuilder names = new StringBuilder();
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            names.append(thread.getName()).append('\n');
        }
        return names.toString();
    }

    private static Map<String, String> query(HttpExchange exchange) {
        Map<String, String> pairs = new HashMap<>();
        String raw = exchange.getRequestURI().getRawQuery();
        if (raw != null) {
            for (String pair : raw.split("&")) {
                int at = pair.indexOf('=');
                pairs.put(pair.substring(0, Math.max(at, 0)),
                        URLDecoder.decode(pair.substring(at + 1), StandardCharsets.UTF_8));
            }
        }
        return pairs;
    }

    private static void send(HttpExchange exchange, int status, String type, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", type + ";charset=utf-8");
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
