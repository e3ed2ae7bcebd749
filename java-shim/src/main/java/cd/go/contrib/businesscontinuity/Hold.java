package cd.go.contrib.businesscontinuity;

import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;

/**
 * The wait of a node before GoCD runs. Rust decides; Java waits for its release.
 *
 * <p>Silence is no decision. Rust says {@code hold} when it holds, and says it again every few seconds; once Java has
 * heard anything of Rust, only a release of Rust's ends the wait, whatever flag and record look like here. Where a hold
 * is no longer renewed, this node stays held and says so every minute.
 *
 * <p>Where Java has never heard anything (the library does not load, a native throws or hangs, no word comes), it goes
 * by flag and record, as far as they can be read. A node that they hold fails closed: it waits for ever, repeats the
 * reason every minute, and tries again to open the node. It never ends the JVM, since a wrapper would start it again.
 * Any other node fails open: a hang of ours must not keep a primary down.
 *
 * <table>
 * <caption>without the library</caption>
 * <tr><th>record</th><th>flag now</th><th></th></tr>
 * <tr><td>none</td><td>none</td><td>released</td></tr>
 * <tr><td>none</td><td>any</td><td>held</td></tr>
 * <tr><td>hold=yes</td><td>any, or none</td><td>held</td></tr>
 * <tr><td>hold=no</td><td>the recorded one, or none</td><td>released</td></tr>
 * <tr><td>hold=no</td><td>another than the recorded one</td><td>held: a flag that appeared is an order</td></tr>
 * <tr><td>cannot be read or understood</td><td>any, or none</td><td>held</td></tr>
 * </table>
 *
 * <p>A flag that cannot be looked at counts as one that is there. The same rule, with what the library itself does, is
 * {@code tests/fixtures/hold/starts.txt}; both languages are tested with it. What was read when the JVM started and
 * held then never fails open later, since the record changes in the middle of a promotion; a node that was a primary
 * then is held nevertheless if the record says by now that it must be.
 *
 * <p>Memory may run out at any point. What a standby needs to stay held is therefore made in the constructor, and
 * every step of the wait may fail and is then tried again.
 */
final class Hold implements NodeListener {
    private static final long SECOND = 1_000_000_000L;
    private static final long OPEN_LIMIT = 10 * SECOND;
    /** To the first word of a node that has opened: it has decided by then, and only has to say so. */
    private static final long SILENCE_LIMIT = 30 * SECOND;
    private static final long PAUSE_BETWEEN_OPENS = 30 * SECOND;
    private static final long REMINDER = 60 * SECOND;
    /** Many times as long as Rust takes to renew a hold. */
    private static final long RENEWAL_LIMIT = 60 * SECOND;

    private final Node node = new Node("agent", this);
    private final byte[] staysHeld = "GoCD Business Continuity: ERROR GoCD stays held, and something failed.\n"
            .getBytes(StandardCharsets.UTF_8);

    private LastKnownRole role;
    private Throwable failure;
    private boolean heard;
    private String ordered;
    private boolean releasing;
    private boolean over;
    private long begunAt;
    private long heldAt;
    private long triedAt = System.nanoTime() - PAUSE_BETWEEN_OPENS;
    private long remindedAt = System.nanoTime() - REMINDER;

    /** A hold that is yet to begin. */
    Hold(LastKnownRole role) {
        this.role = role;
    }

    /**
     * Opens the node and returns once GoCD may run. Never throws; an interrupt does not end the wait and is kept for
     * the caller. Several threads may wait at once.
     */
    void untilReleased() {
        boolean interrupted = false;
        boolean released = false;
        while (!released) {
            try {
                begin();
                released = proceed();
            } catch (InterruptedException kept) {
                interrupted = true;
            } catch (Throwable failed) {
                failed(failed);
                LockSupport.parkNanos(SECOND);
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void hear(String word, String payload) {
        synchronized (this) {
            if (!heard || word.equals("hold")) {
                heldAt = System.nanoTime();
            }
            heard = true;
            failure = null;
            if (word.equals("release")) {
                ordered = payload;
                notifyAll();
            }
        }
        // GoCD's health messages are for the plugin's own node; and a held node never exits, since a wrapper would
        // start the JVM again and again.
        if (word.equals("log")) {
            StandardError.say(payload);
        }
    }

    @Override
    public synchronized void failed(Throwable reason) {
        failure = reason;
        notifyAll();
    }

    /** Opens the node, and again after a while where that failed: what is held by record alone nobody could promote. */
    private synchronized void begin() {
        long now = System.nanoTime();
        if (begunAt == 0) {
            begunAt = now;
        }
        if (!releasing && !node.hasOpened() && now - triedAt >= PAUSE_BETWEEN_OPENS) {
            failure = null;
            node.open();
            triedAt = now;
        }
    }

    /** One step of the wait, about a second long. Returns whether GoCD may go on. */
    private boolean proceed() throws InterruptedException {
        String properties = decide();
        if (properties != null) {
            letGo(properties);
        }
        synchronized (this) {
            if (!over && (ordered == null || releasing)) {
                wait(1_000);
            }
            return over;
        }
    }

    /** The system properties to release with, or null while this node stays held. */
    private synchronized String decide() {
        if (releasing) {
            return null;
        }
        if (ordered != null) {
            releasing = true;
            return ordered;
        }
        long now = System.nanoTime();
        String trouble = trouble(now);
        if (trouble == null) {
            return null;
        }
        if (heard || mustHold()) {
            remind(now, trouble);
            return null;
        }
        // A node that has opened is given its whole time: what fails once may work the next time.
        if (node.hasOpened() && now - begunAt < SILENCE_LIMIT) {
            return null;
        }
        releasing = true;
        StandardError.say("ERROR " + trouble + ". Neither flag nor record makes this server a standby, so GoCD starts"
                + " now, without the guard against a second active server.");
        return role.propertiesForRelease();
    }

    /** What keeps Rust from being heard, or null while there is nothing to complain of. */
    private String trouble(long now) {
        if (failure != null) {
            return failure instanceof Exception && failure.getMessage() != null ? failure.getMessage()
                    : failure.toString();
        }
        if (heard) {
            return now - heldAt < RENEWAL_LIMIT ? null : "the native library holds GoCD, but has not said so again for "
                    + (now - heldAt) / SECOND + " seconds";
        }
        long limit = node.hasOpened() ? SILENCE_LIMIT : OPEN_LIMIT;
        return now - begunAt < limit ? null
                : "nothing was heard of the native library within " + limit / SECOND + " seconds";
    }

    private boolean mustHold() {
        if (!role.holds()) {
            try {
                role = LastKnownRole.read();
            } catch (Throwable untold) {
                // It is read again in a second.
                return true;
            }
        }
        return role.holds();
    }

    private void remind(long now, String trouble) {
        if (now - remindedAt < REMINDER) {
            return;
        }
        remindedAt = now;
        StandardError.sayPrepared(staysHeld);
        StandardError.say("ERROR " + trouble + ". GoCD stays held, since "
                + (role.holds() ? role : "the native library has spoken, and nobody else may let it run")
                + ". Remove the cause and restart this server.");
    }

    /** Closes our node first, so that GoCD finds its port free and the plugin finds the state folder unlocked. */
    private void letGo(String properties) {
        try {
            node.close();
            Properties given = new Properties();
            given.load(new StringReader(properties));
            for (String name : given.stringPropertyNames()) {
                System.setProperty(name, given.getProperty(name));
            }
        } catch (Throwable failed) {
            StandardError.say("ERROR the release was not complete, GoCD starts nevertheless: " + failed);
        } finally {
            synchronized (this) {
                over = true;
                notifyAll();
            }
        }
    }
}
