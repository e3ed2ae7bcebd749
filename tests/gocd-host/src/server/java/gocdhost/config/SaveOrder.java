package gocdhost.config;

import java.util.Arrays;

/** What is written first when a configuration is saved. GoCD has both. */
public enum SaveOrder {
    /** db/config.git, then the live file: saves of the whole configuration, and what is taken up from disk. */
    COMMIT_FIRST("commit-first"),
    /** The live file, then db/config.git: saves of one pipeline, one template and so on. */
    WRITE_FIRST("write-first");

    private final String word;

    SaveOrder(String word) {
        this.word = word;
    }

    /** @throws IllegalArgumentException there is no such order */
    public static SaveOrder of(String word) {
        return Arrays.stream(values()).filter(order -> order.word.equals(word)).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("order is commit-first or write-first, not " + word));
    }

    @Override
    public String toString() {
        return word;
    }
}
