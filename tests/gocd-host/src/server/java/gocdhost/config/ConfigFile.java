package gocdhost.config;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;

/**
 * cruise-config.xml on disk. Written as GoCD does: in place, truncated first, under an exclusive lock that no reader
 * has to heed, in pieces. Whoever reads meanwhile sees an empty or a half file.
 */
final class ConfigFile {
    private static final int PIECE = 8192;

    private final File file;

    ConfigFile(File file) {
        this.file = file;
    }

    File path() {
        return file;
    }

    String read() throws IOException {
        return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
    }

    @SuppressWarnings("try")
    void rewrite(String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        try (RandomAccessFile access = new RandomAccessFile(file, "rw");
                FileChannel channel = access.getChannel();
                FileLock lock = channel.lock()) {
            access.setLength(0);
            for (int start = 0; start < bytes.length; start += PIECE) {
                ByteBuffer piece = ByteBuffer.wrap(bytes, start, Math.min(PIECE, bytes.length - start));
                while (piece.hasRemaining()) {
                    channel.write(piece);
                }
            }
        }
    }
}
