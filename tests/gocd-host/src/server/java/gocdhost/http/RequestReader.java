package gocdhost.http;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** Reads one request from a connection. A body needs a Content-Length. */
final class RequestReader {
    private static final int LONGEST_LINE = 64 * 1024;
    private static final int LONGEST_BODY = 256 * 1024 * 1024;

    private final InputStream in;
    private final OutputStream out;

    RequestReader(InputStream in, OutputStream out) {
        this.in = new BufferedInputStream(in);
        this.out = out;
    }

    /** Null where the client closed the connection without a request. */
    HttpRequest read() throws IOException, BadRequestException {
        String line = line();
        if (line == null) {
            return null;
        }
        String[] words = line.split(" ");
        if (words.length != 3 || !words[1].startsWith("/") || !words[2].startsWith("HTTP/1.")) {
            throw new BadRequestException(400, "no request line of HTTP/1.1: " + line);
        }
        Map<String, String> headers = headers();
        String[] target = words[1].split("\\?", 2);
        try {
            Map<String, String> parameters = parameters(target.length > 1 ? target[1] : "");
            return new HttpRequest(words[0], decode(target[0].replace("+", "%2B")), parameters, headers, body(headers));
        } catch (IllegalArgumentException undecodable) {
            throw new BadRequestException(400, "the address cannot be decoded: " + undecodable.getMessage());
        }
    }

    private Map<String, String> headers() throws IOException, BadRequestException {
        Map<String, String> headers = new HashMap<>();
        for (String line = line(); line != null && !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            if (colon < 1) {
                throw new BadRequestException(400, "no header: " + line);
            }
            headers.putIfAbsent(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        return headers;
    }

    private String body(Map<String, String> headers) throws IOException, BadRequestException {
        if (headers.containsKey("transfer-encoding")) {
            throw new BadRequestException(411, "a body needs a Content-Length");
        }
        long length;
        try {
            length = Long.parseLong(headers.getOrDefault("content-length", "0"));
        } catch (NumberFormatException unreadable) {
            throw new BadRequestException(400, "Content-Length is no number");
        }
        if (length < 0 || length > LONGEST_BODY) {
            throw new BadRequestException(413, "the body is longer than " + LONGEST_BODY + " bytes");
        }
        if (length > 0 && headers.getOrDefault("expect", "").equalsIgnoreCase("100-continue")) {
            out.write("HTTP/1.1 100 Continue\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1));
            out.flush();
        }
        byte[] bytes = in.readNBytes((int) length);
        if (bytes.length < length) {
            throw new BadRequestException(400, "the body ended after " + bytes.length + " of " + length + " bytes");
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private String line() throws IOException, BadRequestException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int next = in.read(); next != '\n'; next = in.read()) {
            if (next < 0) {
                return null;
            }
            if (line.size() == LONGEST_LINE) {
                throw new BadRequestException(431, "a line is longer than " + LONGEST_LINE + " bytes");
            }
            line.write(next);
        }
        String text = line.toString(StandardCharsets.UTF_8);
        return text.endsWith("\r") ? text.substring(0, text.length() - 1) : text;
    }

    private static Map<String, String> parameters(String query) {
        Map<String, String> parameters = new HashMap<>();
        for (String pair : query.split("&")) {
            String[] sides = pair.split("=", 2);
            parameters.putIfAbsent(decode(sides[0]), sides.length > 1 ? decode(sides[1]) : "");
        }
        return parameters;
    }

    private static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }
}
