package cd.go.contrib.businesscontinuity;

import java.lang.instrument.Instrumentation;
import java.util.concurrent.locks.LockSupport;

/**
 * The Java agent: {@code -javaagent:plugins/external/gocd-business-continuity.jar}.
 *
 * <p>It only prepares the hold and returns, since a wrapper ends a JVM whose agent takes longer than its start-up
 * timeout. The hold itself comes when GoCD's launcher is loaded: see {@link LauncherTransformer}.
 */
public final class Agent {
    private static final long SECOND = 1_000_000_000L;
    private static final long REMINDER = 60 * SECOND;

    private static boolean present;

    private Agent() {
    }

    /**
     * Called by the JVM before GoCD's main. Catches everything: an exception here would end the JVM. Where the hold
     * cannot be prepared it does not return before GoCD may run.
     */
    public static void premain(String arguments, Instrumentation instrumentation) {
        if (present) {
            StandardError.say("-javaagent is given twice; the second one does nothing.");
            return;
        }
        present = true;
        Hold hold = null;
        try {
            System.setProperty("bc.agent", "true");
            hold = new Hold(LastKnownRole.read());
            loadClasses();
            instrumentation.addTransformer(new LauncherTransformer(hold, instrumentation));
        } catch (Throwable failed) {
            StandardError.say("the agent could not be prepared: " + failed);
            // Nothing would stop GoCD later, so what there is to wait for is waited for here and now.
            if (hold != null) {
                hold.untilReleased();
            } else {
                parkUnlessGocdMayRun(failed);
            }
        }
    }

    /** Loads and links what the hold needs, so that nothing of it has to be found while a class load waits for it. */
    private static void loadClasses() throws ClassNotFoundException {
        Class<?>[] needed = {
            DaemonThread.class, DaemonThread.Work.class, Given.class, Hold.class, LastKnownRole.class,
            LauncherTransformer.class, Layout.class, Native.class, NativeLibrary.class, Node.class, NodeListener.class,
            SettingsText.class, StandardError.class, StandbyFlag.class,
        };
        for (Class<?> one : needed) {
            Class.forName(one.getName(), true, one.getClassLoader());
        }
    }

    /**
     * What is left where there is no {@link Hold}: this JVM waits for ever where something speaks for a standby, or
     * where that cannot be told. Never throws, and needs as little as possible, since something is broken already.
     */
    private static void parkUnlessGocdMayRun(Throwable reason) {
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
