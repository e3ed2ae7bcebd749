package cd.go.contrib.businesscontinuity;

import java.lang.instrument.Instrumentation;

/**
 * The Java agent: {@code -javaagent:plugins/external/gocd-business-continuity.jar}.
 *
 * <p>It only prepares the hold and returns, since a wrapper ends a JVM whose agent takes longer than its start-up
 * timeout. The hold itself comes when GoCD's launcher is loaded: see {@link LauncherTransformer}.
 */
public final class Agent {
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
                Parked.unlessGocdMayRun(failed);
            }
        }
    }

    /** Loads and links what the hold needs, so that nothing of it has to be found while a class load waits for it. */
    private static void loadClasses() throws ClassNotFoundException {
        Class<?>[] needed = {
            DaemonThread.class, Given.class, Hold.class, LastKnownRole.class, LauncherTransformer.class, Layout.class,
            Native.class, NativeLibrary.class, Node.class, Node.Closer.class, Node.EventLoop.class, Node.Opener.class,
            Node.Requester.class, Node.Shutdown.class, NodeListener.class, Parked.class, SettingsText.class,
            StandardError.class, StandbyFlag.class,
        };
        for (Class<?> one : needed) {
            Class.forName(one.getName(), true, one.getClassLoader());
        }
    }
}
