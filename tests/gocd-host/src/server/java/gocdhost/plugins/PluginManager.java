package gocdhost.plugins;

import com.thoughtworks.go.plugin.api.GoPlugin;
import com.thoughtworks.go.plugin.api.request.DefaultGoPluginApiRequest;
import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;
import gocdhost.HealthMessages;
import gocdhost.Json;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.jar.JarFile;
import org.osgi.framework.BundleException;
import org.osgi.framework.ServiceReference;

/**
 * Loads user plugins one after another on a daemon thread, as DefaultPluginManager and DefaultPluginJarLocationMonitor
 * do; the server does not wait for it. Nothing is unloaded when the server stops.
 */
public final class PluginManager {
    private final HealthMessages health;
    private final File folder;
    private final File work;
    private final int seconds;
    private final Map<String, Plugin> byJar = new LinkedHashMap<>();
    private Framework framework;

    public PluginManager(HealthMessages health, File folder, File work, int seconds) {
        this.health = health;
        this.folder = folder;
        this.work = work;
        this.seconds = seconds;
    }

    /** Wipes the work folder, starts Felix and the monitor. */
    public void start() throws IOException, BundleException {
        folder.mkdirs();
        Exploder.delete(work.toPath());
        framework = new Framework(new File(work, ".felix-cache").getAbsoluteFile());
        Thread monitor = new Thread(this::monitor, "goPluginLocationMonitor");
        monitor.setDaemon(true);
        monitor.start();
    }

    /** As GoCD's list of plugins, bad ones included. */
    public synchronized String asJson() {
        List<String> entries = new ArrayList<>();
        for (Plugin plugin : byJar.values()) {
            List<String> messages = new ArrayList<>();
            for (String error : plugin.errors) {
                messages.add(Json.quote(error));
            }
            entries.add("{\"id\":" + Json.quote(plugin.id) + ",\"status\":{\"state\":\""
                    + (plugin.isActive() ? "active" : "invalid") + "\",\"messages\":[" + String.join(",", messages)
                    + "]},\"plugin_file_location\":" + Json.quote(plugin.jar.getAbsolutePath()) + "}");
        }
        return "{\"_embedded\":{\"plugin_info\":[" + String.join(",", entries) + "]}}";
    }

    /** Sends one request to a plugin, on the caller's thread: the code, a newline and the body, or the exception. */
    public String request(String id, String name, String body) {
        Plugin wanted = null;
        synchronized (this) {
            for (Plugin plugin : byJar.values()) {
                if (plugin.isActive() && plugin.id.equals(id)) {
                    wanted = plugin;
                }
            }
        }
        if (wanted == null) {
            return "404\nno active plugin " + id;
        }
        try {
            return ask(wanted, name, body);
        } catch (Throwable failed) {
            return "exception\n" + failed;
        }
    }

    private String ask(Plugin plugin, String name, String body) throws Exception {
        giveAccessor(plugin);
        Thread thread = Thread.currentThread();
        ClassLoader before = thread.getContextClassLoader();
        thread.setContextClassLoader(plugin.extension.getClass().getClassLoader());
        try {
            DefaultGoPluginApiRequest request = new DefaultGoPluginApiRequest("notification", "4.0", name);
            request.setRequestBody(body);
            GoPluginApiResponse response = plugin.extension.handle(request);
            return response.responseCode() + "\n" + response.responseBody();
        } finally {
            thread.setContextClassLoader(before);
        }
    }

    /** Under a lock that all plugins share, before the first request. */
    private synchronized void giveAccessor(Plugin plugin) {
        if (!plugin.hasAccessor) {
            plugin.hasAccessor = true;
            plugin.extension.initializeGoApplicationAccessor(new Accessor(plugin.id, health));
        }
    }

    private void monitor() {
        do {
            look();
            try {
                Thread.sleep(Math.max(seconds, 1) * 1000L);
            } catch (InterruptedException ending) {
                return;
            }
        } while (seconds > 0);
    }

    private void look() {
        File[] listed = folder.listFiles((in, name) -> name.endsWith(".jar"));
        Map<String, File> present = new LinkedHashMap<>();
        for (File jar : listed == null ? new File[0] : listed) {
            present.put(jar.getName(), jar);
        }
        for (Plugin known : new ArrayList<>(byJar.values())) {
            File now = present.get(known.jar.getName());
            if (now == null || now.lastModified() != known.modified) {
                unload(known);
            }
        }
        for (File jar : present.values()) {
            if (!byJar.containsKey(jar.getName())) {
                load(jar);
            }
        }
    }

    private void load(File jar) {
        long modified = jar.lastModified();
        Plugin plugin;
        try (JarFile opened = new JarFile(jar)) {
            plugin = new Plugin(Descriptor.id(opened), jar, modified);
            checkIdIsFree(plugin);
            File exploded = new File(work, jar.getName()).getAbsoluteFile();
            Exploder.explode(opened, plugin.id, exploded.toPath());
            plugin.bundle = framework.start(exploded);
            plugin.errors.addAll(framework.takeErrors(plugin.id));
            if (plugin.errors.isEmpty()) {
                activate(plugin);
            }
        } catch (Exception failed) {
            plugin = new Plugin(jar.getName(), jar, modified);
            plugin.errors.add(String.valueOf(failed.getMessage()));
        }
        synchronized (this) {
            byJar.put(jar.getName(), plugin);
        }
        if (plugin.errors.isEmpty()) {
            greet(plugin);
        }
        if (!plugin.errors.isEmpty()) {
            System.err.println("gocd-host: plugin " + plugin.id + " is invalid: " + plugin.errors);
            stop(plugin);
        }
    }

    private void checkIdIsFree(Plugin plugin) throws IOException {
        for (Plugin other : byJar.values()) {
            if (other.id.equalsIgnoreCase(plugin.id)) {
                throw new IOException("Found another plugin with ID: " + plugin.id);
            }
        }
    }

    private void activate(Plugin plugin) {
        ServiceReference<?>[] offered = plugin.bundle.getRegisteredServices();
        if (offered == null) {
            plugin.errors.add("No extensions found in this plugin.");
            return;
        }
        plugin.extension = (GoPlugin) plugin.bundle.getBundleContext().getService(offered[0]);
        if (!"notification".equals(plugin.extension.pluginIdentifier().getExtension())) {
            plugin.errors.add("the stand-in knows notification plugins only");
        }
    }

    /** The first requests to a notification plugin: settings, which it may not handle, then its interests. */
    private void greet(Plugin plugin) {
        for (String settings : new String[] {"go.plugin-settings.get-configuration", "go.plugin-settings.get-view"}) {
            request(plugin.id, settings, null);
        }
        String interests = request(plugin.id, "notifications-interested-in", null);
        if (!interests.startsWith("200\n")) {
            System.err.println("gocd-host: plugin " + plugin.id + " named no notifications: " + interests);
        }
    }

    private void unload(Plugin plugin) {
        stop(plugin);
        synchronized (this) {
            byJar.remove(plugin.jar.getName());
        }
        health.replace("Message from plugin: " + plugin.id, List.of());
        try {
            Exploder.delete(new File(work, plugin.jar.getName()).toPath());
        } catch (IOException kept) {
            System.err.println("gocd-host: " + kept);
        }
    }

    private static void stop(Plugin plugin) {
        if (plugin.bundle == null) {
            return;
        }
        try {
            plugin.bundle.stop();
            plugin.bundle.uninstall();
        } catch (BundleException failed) {
            System.err.println("gocd-host: " + failed);
        }
        plugin.bundle = null;
        plugin.extension = null;
    }
}
