package gocdhost.plugin.load;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

import gocdhost.GocdVersion;

/** The extension types that this version of GoCD has, each with its versions. */
public final class ExtensionCheck {
    private static final String FIRST_WITHOUT_OLD_TYPES = "25.4.0";

    private final Map<String, List<String>> supported = new TreeMap<>();

    public ExtensionCheck(GocdVersion version) {
        boolean old = !version.isAtLeast(FIRST_WITHOUT_OLD_TYPES);
        support("analytics", old ? "1.0 2.0" : "2.0");
        support("artifact", "1.0 2.0");
        support("authorization", old ? "1.0 2.0" : "2.0");
        support("configrepo", old ? "1.0 2.0 3.0" : "3.0");
        support("elastic-agent", "4.0 5.0");
        support("notification", "1.0 2.0 3.0 4.0");
        support("package-repository", "1.0");
        support("scm", "1.0");
        support("secrets", "1.0");
        support("task", "1.0");
    }

    /** The newest version that both know; empty where there is none. */
    public Optional<String> newestCommon(String type, List<String> ofPlugin) {
        return supported.getOrDefault(type, Arrays.asList()).stream().filter(ofPlugin::contains)
                .reduce((first, second) -> second);
    }

    /** Why a plugin with these extensions is invalid; empty where it is not. */
    Optional<String> fault(String pluginId, Map<String, List<String>> extensions) {
        String start = "Extension incompatibility detected between plugin(" + pluginId + ") and GoCD:\n  ";
        TreeSet<String> unknown = new TreeSet<>(extensions.keySet());
        unknown.removeAll(supported.keySet());
        if (!unknown.isEmpty()) {
            return Optional.of(start + "Extension(s) " + unknown
                    + " used by the plugin is not supported. GoCD Supported extensions are " + supported.keySet()
                    + ".");
        }
        String faults = extensions.entrySet().stream()
                .filter(extension -> newestCommon(extension.getKey(), extension.getValue()).isEmpty())
                .map(extension -> "Expected " + extension.getKey() + " extension version(s) " + extension.getValue()
                        + " by plugin is unsupported. GoCD Supported versions are "
                        + supported.get(extension.getKey()) + ".")
                .collect(Collectors.joining("\n  "));
        return faults.isEmpty() ? Optional.empty() : Optional.of(start + faults);
    }

    private void support(String type, String versions) {
        supported.put(type, Arrays.asList(versions.split(" ")));
    }
}
