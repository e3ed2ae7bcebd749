package gocdhost.http;

import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

import gocdhost.log.ServerLog;

/** One request and its answer on one connection. */
final class HttpExchange {
    private static final ServerLog LOG = new ServerLog(HttpExchange.class);
    private static final int PATIENCE = 30_000;

    private final Socket socket;
    private final HttpHandler handler;

    HttpExchange(Socket socket, HttpHandler handler) {
        this.socket = socket;
        this.handler = handler;
    }

    void run() {
        try (Socket connection = socket) {
            connection.setSoTimeout(PATIENCE);
            HttpRequest request;
            try {
                request = new RequestReader(connection.getInputStream(), connection.getOutputStream()).read();
            } catch (BadRequestException bad) {
                answer(connection.getOutputStream(), HttpResponse.text(bad.status(), bad.getMessage() + "\n"), true);
                return;
            }
            if (request != null) {
                answer(connection.getOutputStream(), handled(request), !request.method().equals("HEAD"));
            }
        } catch (IOException gone) {
            // The client went away. There is nobody to tell.
        }
    }

    private HttpResponse handled(HttpRequest request) {
        try {
            return handler.handle(request);
        } catch (Exception | LinkageError failed) {
            LOG.error(request.method() + " " + request.path() + " failed", failed);
            return HttpResponse.text(500, failed + "\n");
        }
    }

    private static void answer(OutputStream out, HttpResponse response, boolean withBody) throws IOException {
        byte[] body = response.body().getBytes(StandardCharsets.UTF_8);
        StringBuilder head = new StringBuilder("HTTP/1.1 ").append(response.status()).append(" \r\n");
        response.headers().forEach((name, value) -> head.append(name).append(": ").append(value).append("\r\n"));
        head.append("Content-Length: ").append(body.length).append("\r\nConnection: close\r\n\r\n");
        out.write(head.toString().getBytes(StandardCharsets.ISO_8859_1));
        if (withBody) {
            out.write(body);
        }
        out.flush();
    }
}
