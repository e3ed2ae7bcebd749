package gocdhost.log;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;

import gocdhost.Environment;

/** A log in the log folder: opened at its first line, appended to, never rotated. */
final class LogFile {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss,SSS");

    private final String name;
    private final String markOnStandardOutput;
    private Writer writer;

    /** The mark tells on standard output, which all logs share, whose line it is. */
    LogFile(String name, String markOnStandardOutput) {
        this.name = name;
        this.markOnStandardOutput = markOnStandardOutput;
    }

    /** A line that cannot be written goes to standard error instead: a full disk stops no server. */
    synchronized void write(Level level, String logger, String message, Throwable thrown) {
        String start = LocalDateTime.now().format(TIME) + String.format(" %-5s", level)
                + " [" + Thread.currentThread().getName() + "] " + logger.substring(logger.lastIndexOf('.') + 1);
        String end = " - " + message + System.lineSeparator() + trace(thrown);
        try {
            if (writer == null) {
                File folder = Environment.logDir();
                folder.mkdirs();
                writer = new OutputStreamWriter(
                        new FileOutputStream(new File(folder, name), true), StandardCharsets.UTF_8);
            }
            writer.write(start + end);
            writer.flush();
        } catch (IOException failed) {
            System.err.print(name + " cannot be written (" + failed.getMessage() + "): " + start + end);
        }
        if (Environment.logsToStandardOutput()) {
            System.out.print(start + markOnStandardOutput + end);
            System.out.flush();
        }
    }

    private static String trace(Throwable thrown) {
        if (thrown == null) {
            return "";
        }
        StringWriter text = new StringWriter();
        thrown.printStackTrace(new PrintWriter(text, true));
        return text.toString();
    }
}
