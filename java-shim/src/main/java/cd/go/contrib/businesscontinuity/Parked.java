package cd.go.contrib.businesscontinuity;

import java.util.concurrent.locks.LockSupport;

/**
 * What is left when the agent failed before there was a {@link Hold}: this JVM waits for ever where something speaks
 * for a standby, or where that cannot be told. Needs as little as possible, since something is broken already.
 */
final class Parked {
    private static final long SECOND = 1_000_000_000L;
    private static final long REMINDER = 60 * SECOND;

    private Parked() {
    }

    /** Returns only where flag and record both say that GoCD may run. Never throws. */
    static void unlessGocdMayRun(Throwable reason) {
        long saidAt = System.nanoTime() - REMINDER;
        while (!gocdMayRun()) {
            try {
                if (System.nanoTime() - saidAt >= REMINDER) {
                    saidAt = System.nanoTime();
                    StandardError.say("ERROR GoCD stays held: the agent could not be prepared (" + reason + "), and a"
                            + " flag or a record asks for a standby, or could not be read. Install the jar again or"
                            + " remove what else is the cause, then restart this server.");
                }
                LockSupport.parkNanos(SECOND);
            } catch (Throwable again) {
                // Nothing that goes wrong here is a release.
            }
        }
    }

    private static boolean gocdMayRun() {
        try {
            return !LastKnownRole.read().holds();
        } catch (Throwable untold) {
            return false;
        }
    }
}
