package gocdhost.plugins;

import com.thoughtworks.go.plugin.api.GoPlugin;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import org.osgi.framework.Bundle;

/** One jar of the plugin folder: active with a bundle and an extension, or invalid with the reasons. */
final class Plugin {
    final String id;
    final File jar;
    final long modified;
    final List<String> errors = new ArrayList<>();
    Bundle bundle;
    GoPlugin extension;
    boolean hasAccessor;

    Plugin(String id, File jar, long modified) {
        this.id = id;
        this.jar = jar;
        this.modified = modified;
    }

    boolean isActive() {
        return errors.isEmpty() && extension != null;
    }
}
