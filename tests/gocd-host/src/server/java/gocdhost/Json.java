package gocdhost;

import java.util.ArrayList;
import java.util.List;

/** The little JSON that the stand-in speaks: quoting, and reading an array of flat objects with text values. */
public final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** A JSON string literal. */
    public static String quote(String value) {
        if (value == null) {
            return "null";
        }
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : value.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    /**
     * Reads an array of health messages.
     *
     * @throws IllegalArgumentException when the text is no array of objects with {@code message} and {@code type},
     *         or a type is not {@code warning}, the only one that GoCD knows
     */
    public static List<String> healthMessages(String text) {
        return new Json(text).messages();
    }

    private List<String> messages() {
        List<String> found = new ArrayList<>();
        expect('[');
        if (!accept(']')) {
            do {
                found.add(message());
            } while (accept(','));
            expect(']');
        }
        return found;
    }

    private String message() {
        String message = null;
        String type = null;
        expect('{');
        do {
            String key = string();
            expect(':');
            String value = string();
            if (key.equals("message")) {
                message = value;
            } else if (key.equals("type")) {
                type = value;
            }
        } while (accept(','));
        expect('}');
        if (message == null || !"warning".equals(type)) {
            throw new IllegalArgumentException("a health message needs a message and the type warning");
        }
        return message;
    }

    private String string() {
        expect('"');
        StringBuilder value = new StringBuilder();
        while (text.charAt(at) != '"') {
            char c = text.charAt(at++);
            if (c != '\\') {
                value.append(c);
                continue;
            }
            char escaped = text.charAt(at++);
            switch (escaped) {
                case 'n': value.append('\n'); break;
                case 'r': value.append('\r'); break;
                case 't': value.append('\t'); break;
                case 'b': value.append('\b'); break;
                case 'f': value.append('\f'); break;
                case 'u':
                    value.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                    at += 4;
                    break;
                default: value.append(escaped);
            }
        }
        at++;
        return value.toString();
    }

    private void expect(char wanted) {
        if (!accept(wanted)) {
            throw new IllegalArgumentException("expected " + wanted + " at " + at + " of " + text);
        }
    }

    private boolean accept(char wanted) {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        if (at < text.length() && text.charAt(at) == wanted) {
            at++;
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
                at++;
            }
            return true;
        }
        return false;
    }
}
