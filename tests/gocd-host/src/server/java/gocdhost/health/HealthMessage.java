package gocdhost.health;

import java.time.Instant;
import java.time.temporal.ChronoUnit;

/** One line of GoCD's list of errors and warnings. */
public final class HealthMessage {
    private final String title;
    private final String detail;
    private final boolean warning;
    private final Instant time = Instant.now().truncatedTo(ChronoUnit.SECONDS);

    private HealthMessage(String title, String detail, boolean warning) {
        this.title = title;
        this.detail = detail;
        this.warning = warning;
    }

    public static HealthMessage warning(String title, String detail) {
        return new HealthMessage(title, detail, true);
    }

    public static HealthMessage error(String title, String detail) {
        return new HealthMessage(title, detail, false);
    }

    public String title() {
        return title;
    }

    public String detail() {
        return detail;
    }

    /** WARNING or ERROR. */
    public String level() {
        return warning ? "WARNING" : "ERROR";
    }

    public Instant time() {
        return time;
    }
}
