package gocdhost;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/** One request and its answer; the connection is closed afterwards. */
final class Exchange {
    private static final int READ_LIMIT = 10_000;

    final String method;
    final String path;
    final Map<String, String> query;
    final String body;
    private final OutputStream out;

    /** Reads a request of HTTP/1.1 with a Content-Length or without a body. */
    Exchange(Socket socket) throws IOException {
        socket.setSoTimeout(READ_LIMIT);
        InputStream in = new BufferedInputStream(socket.getInputStream());
        out = socket.getOutputStream();
        String[] first = line(in).split(" ");
        if (first.length != 3) {
            throw new IOException("no HTTP request");
        }
        method = first[0];
        int at = first[1].indexOf('?');
        path = decoded(at < 0 ? first[1] : first[1].substring(0, at));
        query = at < 0 ? new HashMap<>() : pairs(first[1].substring(at + 1));
        int length = 0;
        for (String header = line(in); !header.isEmpty(); header = line(in)) {
            if (header.toLowerCase().startsWith("content-length:")) {
                length = Integer.parseInt(header.substring("content-length:".length()).trim());
            }
        }
        body = new String(in.readNBytes(length), StandardCharsets.UTF_8);
    }

    void send(int status, String type, String text) throws IOException {
        byte[] content = text.getBytes(StandardCharsets.UTF_8);
        String head = "HTTP/1.1 " + status + " -\r\nContent-Type: " + type + ";charset=utf-8\r\nContent-Length: "
                + content.length + "\r\nConnection: close\r\n\r\n";
        out.write(head.getBytes(StandardCharsets.US_ASCII));
        out.write(content);
        out.flush();
    }

    private static Map<String, String> pairs(String text) {
        Map<String, String> pairs = new HashMap<>();
        for (String pair : text.split("&")) {
            int at = pair.indexOf('=');
            pairs.put(pair.substring(0, Math.max(at, 0)), decoded(pair.substring(at + 1)));
        }
        return pairs;
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    private static String line(InputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0) {
                throw new IOException("the connection was closed");
            }
            line.append((char) c);
        }
        return line.toString().trim();
    }
}
