package cd.go.contrib.businesscontinuity;

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.ProtectionDomain;
import java.util.concurrent.locks.LockSupport;

/**
 * Keeps GoCD's launcher from being loaded until this node may run. No byte code is ever changed.
 *
 * <p>The launcher and not Boot, the class before it: the wrapper's own launcher loads Boot before it reports that the
 * JVM has started, and would end the JVM while we wait (WrapperJarApp).
 */
final class LauncherTransformer implements ClassFileTransformer {
    private static final String LAUNCHER = "com/thoughtworks/go/server/util/GoLauncher";
    private static final long SECOND = 1_000_000_000L;

    private final Hold hold;
    private final Instrumentation instrumentation;

    LauncherTransformer(Hold hold, Instrumentation instrumentation) {
        this.hold = hold;
        this.instrumentation = instrumentation;
    }

    /**
     * Called for every class of the JVM, on whichever thread loads it. The JVM ignores what is thrown here and goes on
     * loading, so nothing may be: the wait ends by a release and by nothing else.
     */
    @Override
    public byte[] transform(ClassLoader loader, String className, Class<?> redefined, ProtectionDomain domain,
            byte[] classFile) {
        if (!LAUNCHER.equals(className)) {
            return null;
        }
        boolean released = false;
        while (!released) {
            try {
                hold.untilReleased();
                released = true;
            } catch (Throwable again) {
                // It throws nothing that can be foreseen, and whatever it may be is no release.
                pause();
            }
        }
        try {
            instrumentation.removeTransformer(this);
        } catch (Throwable kept) {
            // It stays and does nothing: the hold is over.
        }
        return null;
    }

    private static void pause() {
        try {
            LockSupport.parkNanos(SECOND);
        } catch (Throwable atOnce) {
            // Then it is tried again without a rest.
        }
    }
}
