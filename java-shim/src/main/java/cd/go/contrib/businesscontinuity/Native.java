package cd.go.contrib.businesscontinuity;

/**
 * The boundary to Rust: all three functions of the native library.
 *
 * <p>Nothing calls back from Rust into Java, and no Rust thread is ever attached to the JVM. A panic in Rust arrives
 * here as a {@link RuntimeException} with its message. {@link NativeLibrary#load} comes first; {@link Node} is the
 * only caller.
 */
final class Native {
    private Native() {
    }

    /**
     * Starts a node. Never waits for the network.
     *
     * @param settings the text of {@link SettingsText}
     * @return the node's handle; handles are never used again within one loaded library
     * @throws RuntimeException with a message for an administrator when the node cannot start
     */
    static native long open(String settings);

    /**
     * Waits for the next thing that Java is to do, at most {@code milliseconds}.
     *
     * @return null when there is nothing, and at once when the node is closed; else one word, a newline and a payload:
     *     {@code log} with a level, a blank and the message; {@code health} with the JSON body of all health messages,
     *     again every half a minute; {@code hold} with the reason, again every few seconds while GoCD must wait;
     *     {@code release} with the text of the system properties to set before GoCD goes on; {@code exit} with an exit
     *     code
     */
    static native String nextEvent(long node, long milliseconds);

    /** Ends a node and joins all its threads, within a few seconds. Closing twice or an unknown handle is no error. */
    static native void close(long node);
}
