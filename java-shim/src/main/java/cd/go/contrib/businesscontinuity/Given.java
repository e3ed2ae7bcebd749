package cd.go.contrib.businesscontinuity;

/**
 * How a system property is read without the library: exactly as the library reads it ({@code without_stray_ends} in
 * bc-core). Any difference between the two could hold a node in one and release it in the other.
 */
final class Given {
    /**
     * Every blank of Unicode, no-break ones included, every control character, what has no width or turns the
     * direction of writing, and quotes, typographic ones included: all this comes along when a line is copied from a
     * web page, and wrappers before Tanuki 3.6 hand quotes through on UNIX. None of Java's own notions of a blank is
     * asked: trim, isWhitespace and isSpaceChar all differ from each other.
     */
    private static final String STRAY = "[\\x00- \"'\\x7f-\\xa0\\xad\\u1680\\u180e\\u2000-\\u200f\\u2018-\\u201f"
            + "\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff]+";

    private Given() {
    }

    /** What the property holds, without stray characters at its ends; null when nothing is left of it. */
    static String property(String name) {
        String given = withoutStrayEnds(System.getProperty(name, ""));
        return given.isEmpty() ? null : given;
    }

    /** The value without blanks, quotes and what is not seen at both of its ends. */
    static String withoutStrayEnds(String value) {
        return value.replaceAll("^" + STRAY + "|" + STRAY + "\\z", "");
    }
}
