package gocdhost.config;

import java.time.Instant;

/** The configuration in memory. */
public final class AcceptedConfig {
    private final CruiseConfig config;
    private final String source;
    private final long number;
    private final Instant time = Instant.now();

    AcceptedConfig(CruiseConfig config, String source, long number) {
        this.config = config;
        this.source = source;
        this.number = number;
    }

    public CruiseConfig config() {
        return config;
    }

    /** Where it came from: start, save or disk. */
    public String source() {
        return source;
    }

    /** How many have been accepted since the start, this one included. */
    public long number() {
        return number;
    }

    public Instant time() {
        return time;
    }
}
