package cd.go.contrib.businesscontinuity;

/**
 * How a system property is read without the library: exactly as the library reads it ({@code without_stray_ends} in
 * bc-core). Any difference between the two could hold a node in one and release it in the other.
 */
final class Given {
    private Given() {
    }

    /** What the property holds, without stray characters at its ends; null when nothing is left of it. */
    static String property(String name) {
        String value = System.getProperty(name);
        if (value == null) {
            return null;
        }
        String given = withoutStrayEnds(value);
        return given.isEmpty() ? null : given;
    }

    /** The value without blanks, quotes and what is not seen at both of its ends. */
    static String withoutStrayEnds(String value) {
        int start = 0;
        int end = value.length();
        while (start < end && isStray(value.charAt(start))) {
            start++;
        }
        while (end > start && isStray(value.charAt(end - 1))) {
            end--;
        }
        return value.substring(start, end);
    }

    /**
     * Every blank of Unicode, no-break ones included, every control character, what has no width or turns the
     * direction of writing, and quotes, typographic ones included: all this comes along when a line is copied from a
     * web page, and wrappers before Tanuki 3.6 hand quotes through on UNIX. None of Java's own notions of a blank is
     * asked: trim, isWhitespace and isSpaceChar all differ from each other.
     */
    static boolean isStray(char c) {
        return c <= ' '
                || c == '"'
                || c == '\''
                || c >= '\u007f' && c <= '\u00a0'
                || c == '\u00ad'
                || c == '\u1680'
                || c == '\u180e'
                || c >= '\u2000' && c <= '\u200f'
                || c >= '\u2018' && c <= '\u201f'
                || c >= '\u2028' && c <= '\u202f'
                || c >= '\u205f' && c <= '\u206f'
                || c == '\u3000'
                || c == '\ufeff';
    }
}
