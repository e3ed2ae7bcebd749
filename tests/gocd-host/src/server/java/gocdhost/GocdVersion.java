package gocdhost;

import org.osgi.framework.Version;

/** The version that the server says it has: the Implementation-Version of the jar that holds Boot, as 26.1.0-22000. */
public final class GocdVersion {
    private final String full;

    private GocdVersion(String full) {
        this.full = full;
    }

    /**
     * The version of this server.
     *
     * @throws IllegalStateException the manifest has no Implementation-Version
     */
    public static GocdVersion current() {
        try {
            String version = Class.forName("com.thoughtworks.gocd.Boot").getPackage().getImplementationVersion();
            if (version == null) {
                throw new IllegalStateException("the manifest of go.jar has no Implementation-Version");
            }
            return new GocdVersion(version);
        } catch (ClassNotFoundException notBooted) {
            throw new IllegalStateException("the server was not started by Boot", notBooted);
        }
    }

    /** As 26.1.0. */
    public String release() {
        return full.contains("-") ? full.substring(0, full.indexOf('-')) : full;
    }

    /** Whether it is this release or a later one. */
    public boolean isAtLeast(String release) {
        return Version.parseVersion(release()).compareTo(Version.parseVersion(release)) >= 0;
    }

    /**
     * Whether a plugin that asks for this release may run.
     *
     * @throws IllegalArgumentException it is no version
     */
    public boolean satisfies(String targetRelease) {
        return targetRelease == null || targetRelease.trim().isEmpty() || isAtLeast(targetRelease.trim());
    }

    @Override
    public String toString() {
        return full;
    }
}
