package cd.go.contrib.businesscontinuity;

import java.util.Collections;

import com.thoughtworks.go.plugin.api.GoApplicationAccessor;
import com.thoughtworks.go.plugin.api.GoPlugin;
import com.thoughtworks.go.plugin.api.GoPluginIdentifier;
import com.thoughtworks.go.plugin.api.annotation.Extension;
import com.thoughtworks.go.plugin.api.annotation.Load;
import com.thoughtworks.go.plugin.api.annotation.UnLoad;
import com.thoughtworks.go.plugin.api.exceptions.UnhandledRequestTypeException;
import com.thoughtworks.go.plugin.api.info.PluginContext;
import com.thoughtworks.go.plugin.api.request.GoPluginApiRequest;
import com.thoughtworks.go.plugin.api.response.DefaultGoPluginApiResponse;
import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;

/**
 * The plugin, as GoCD sees it: a notification plugin that asks for no notifications, the least intrusive kind there is.
 * It opens a node when it is loaded and closes it when it is unloaded.
 */
@Extension
public class BusinessContinuityPlugin implements GoPlugin {
    private static final long OPEN_LIMIT = 30_000;

    private final GoPluginIdentifier identifier =
            new GoPluginIdentifier("notification", Collections.singletonList("4.0"));
    private final PluginEvents events = new PluginEvents(identifier);
    private final Node node = new Node("plugin", events);

    /**
     * Opens the node. GoCD loads plugins one after another, so the wait is bounded.
     *
     * @throws Throwable what kept the node from opening; GoCD shows it on its plugin page
     */
    @Load
    public void load(PluginContext context) throws Throwable {
        node.open();
        node.awaitOpen(OPEN_LIMIT);
    }

    /** Closes the node. GoCD does not call this when the server stops; the node has a shutdown hook for that. */
    @UnLoad
    public void unload(PluginContext context) {
        node.close();
    }

    /** Only stores the accessor: GoCD calls this under a lock that all plugins share (DefaultPluginManager). */
    @Override
    public void initializeGoApplicationAccessor(GoApplicationAccessor accessor) {
        events.postTo(accessor);
    }

    /**
     * Answers GoCD's one question to such a plugin that has to be answered: what it is to be notified of. The map must
     * be there, the list may be empty; GoCD then never sends anything (NotificationPluginRegistrar). What it asks about
     * settings, this plugin has none of.
     */
    @Override
    public GoPluginApiResponse handle(GoPluginApiRequest request) throws UnhandledRequestTypeException {
        if (!"notifications-interested-in".equals(request.requestName())) {
            throw new UnhandledRequestTypeException(request.requestName());
        }
        return DefaultGoPluginApiResponse.success("{\"notifications\":[]}");
    }

    @Override
    public GoPluginIdentifier pluginIdentifier() {
        return identifier;
    }
}
