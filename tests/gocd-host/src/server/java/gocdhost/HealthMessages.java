package gocdhost;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Server health messages by who posted them; each post replaces the poster's earlier ones. In memory only. */
public final class HealthMessages {
    private final Map<String, List<String>> messages = new LinkedHashMap<>();

    /** Replaces everything that {@code poster} posted before. */
    public synchronized void replace(String poster, List<String> newer) {
        messages.put(poster, new ArrayList<>(newer));
    }

    synchronized String asJson() {
        List<String> entries = new ArrayList<>();
        for (Map.Entry<String, List<String>> poster : messages.entrySet()) {
            for (String message : poster.getValue()) {
                entries.add("{\"message\":" + Json.quote(poster.getKey()) + ",\"detail\":" + Json.quote(message)
                        + ",\"level\":\"WARNING\"}");
            }
        }
        return "[" + String.join(",", entries) + "]";
    }
}
