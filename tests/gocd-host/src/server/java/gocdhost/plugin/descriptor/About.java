package gocdhost.plugin.descriptor;

import java.util.List;

/** What a descriptor says about its plugin. What it does not say is null. */
public final class About {
    private final String name;
    private final String version;
    private final String targetGoVersion;
    private final String description;
    private final List<String> targetOperatingSystems;
    private final String vendorName;
    private final String vendorUrl;

    About(String name, String version, String targetGoVersion, String description,
            List<String> targetOperatingSystems, String vendorName, String vendorUrl) {
        this.name = name;
        this.version = version;
        this.targetGoVersion = targetGoVersion;
        this.description = description;
        this.targetOperatingSystems = targetOperatingSystems;
        this.vendorName = vendorName;
        this.vendorUrl = vendorUrl;
    }

    public String name() {
        return name;
    }

    public String version() {
        return version;
    }

    public String targetGoVersion() {
        return targetGoVersion;
    }

    public String description() {
        return description;
    }

    public List<String> targetOperatingSystems() {
        return targetOperatingSystems;
    }

    public String vendorName() {
        return vendorName;
    }

    public String vendorUrl() {
        return vendorUrl;
    }

    /** Whether the plugin runs on this operating system; one that names none runs on all. */
    boolean runsOn(String operatingSystem) {
        return targetOperatingSystems.isEmpty()
                || targetOperatingSystems.stream().anyMatch(operatingSystem::equalsIgnoreCase);
    }
}
