package gocdhost.plugin.descriptor;

import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;

import gocdhost.GocdVersion;

/** Makes plugins invalid that are not for this operating system or this version of GoCD. */
public final class Compatibility {
    private final GocdVersion version;

    public Compatibility(GocdVersion version) {
        this.version = version;
    }

    public void check(BundleDescriptor bundle) {
        checkOperatingSystem(bundle);
        checkVersion(bundle);
    }

    private void checkOperatingSystem(BundleDescriptor bundle) {
        String name = System.getProperty("os.name");
        String current = name.startsWith("Windows") ? "Windows" : name;
        for (About about : abouts(bundle)) {
            if (!about.runsOn(current)) {
                invalidate(bundle, "Incompatible with current operating system '" + current
                        + "'. Valid operating systems are: " + about.targetOperatingSystems() + ".");
            }
        }
    }

    private void checkVersion(BundleDescriptor bundle) {
        try {
            for (About about : abouts(bundle)) {
                if (!version.satisfies(about.targetGoVersion())) {
                    invalidate(bundle, "Incompatible with GoCD version '" + version.release()
                            + "'. Compatible version is: " + about.targetGoVersion() + ".");
                }
            }
        } catch (IllegalArgumentException unreadable) {
            String targets = abouts(bundle).stream().map(About::targetGoVersion).collect(Collectors.joining(" & "));
            invalidate(bundle, "Incorrect target GoCD version (" + targets + ") specified.");
        }
    }

    private static List<About> abouts(BundleDescriptor bundle) {
        return bundle.plugins().stream().map(PluginDescriptor::about).filter(about -> about != null)
                .collect(Collectors.toList());
    }

    private static void invalidate(BundleDescriptor bundle, String reason) {
        String start = bundle.ids().size() > 1 ? "Plugins with IDs (" : "Plugin with ID (";
        String end = bundle.ids().size() > 1 ? ") are not valid: " : ") is not valid: ";
        bundle.invalidate(Collections.singletonList(start + bundle.ids() + end + reason));
    }
}
