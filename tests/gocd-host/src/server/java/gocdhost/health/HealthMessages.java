package gocdhost.health;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** GoCD's list of errors and warnings, in memory only. Each message belongs to a scope: a plugin, the configuration. */
public final class HealthMessages {
    private final Map<String, List<HealthMessage>> scopes = new LinkedHashMap<>();

    /** The messages of a scope are these from now on. */
    public synchronized void replace(String scope, List<HealthMessage> messages) {
        if (messages.isEmpty()) {
            scopes.remove(scope);
        } else {
            scopes.put(scope, new ArrayList<>(messages));
        }
    }

    public synchronized List<HealthMessage> all() {
        List<HealthMessage> all = new ArrayList<>();
        scopes.values().forEach(all::addAll);
        return all;
    }
}
