package com.thoughtworks.go.plugin.activation;

import com.thoughtworks.go.plugin.api.GoPlugin;
import com.thoughtworks.go.plugin.api.annotation.Extension;
import com.thoughtworks.go.plugin.api.annotation.Load;
import com.thoughtworks.go.plugin.api.annotation.UnLoad;
import com.thoughtworks.go.plugin.api.info.PluginContext;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URL;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.Hashtable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;
import org.osgi.framework.ServiceReference;

/**
 * Put into every plugin as {@code lib/go-plugin-activator.jar}: loads every class of the plugin, constructs its
 * extensions, calls their {@code @Load}, and offers them as OSGi services. What goes wrong is told to the host.
 */
public class DefaultGoPluginActivator implements BundleActivator {
    /** Read by {@code Logger.getLoggerFor} of GoCD's plugin API, through the class loader of the plugin. */
    private static String pluginId;

    private final Map<Object, Class<?>> extensions = new LinkedHashMap<>();
    private final List<String> errors = new ArrayList<>();

    @Override
    public void start(BundleContext context) {
        Bundle bundle = context.getBundle();
        pluginId = bundle.getSymbolicName();
        for (Class<?> candidate : extensionClasses(bundle)) {
            Object extension = construct(candidate);
            if (extension != null && call(extension, candidate, Load.class, "registered")) {
                extensions.put(extension, candidate);
                context.registerService(GoPlugin.class, (GoPlugin) extension, new Hashtable<>(Map.of("PLUGIN_ID", pluginId)));
            }
        }
        if (extensions.isEmpty() && errors.isEmpty()) {
            errors.add("No extensions found in this plugin.Please check for @Extension annotations");
        }
        tell(context);
    }

    /** {@code @UnLoad} is called for what was registered only. */
    @Override
    public void stop(BundleContext context) {
        for (Map.Entry<Object, Class<?>> extension : extensions.entrySet()) {
            call(extension.getKey(), extension.getValue(), UnLoad.class, "unregistered");
        }
    }

    @SuppressWarnings("unchecked")
    private void tell(BundleContext context) {
        ServiceReference<?> host = context.getServiceReference(Map.class.getName());
        if (host != null && !errors.isEmpty()) {
            ((Map<String, List<String>>) context.getService(host)).put(pluginId, errors);
        }
    }

    private List<Class<?>> extensionClasses(Bundle bundle) {
        List<Class<?>> found = new ArrayList<>();
        Enumeration<URL> entries = bundle.findEntries("/", "*.class", true);
        while (entries != null && entries.hasMoreElements()) {
            String path = entries.nextElement().getPath();
            if (path.startsWith("/lib/") || path.startsWith("/META-INF/")) {
                continue;
            }
            String name = path.substring(1, path.length() - ".class".length()).replace('/', '.');
            try {
                Class<?> loaded = bundle.loadClass(name);
                if (loaded.isAnnotationPresent(Extension.class)) {
                    found.add(loaded);
                }
            } catch (Throwable failed) {
                errors.add("Class [" + name + "] could not be loaded. Message: [" + failed.getMessage() + "].");
            }
        }
        return found;
    }

    private Object construct(Class<?> candidate) {
        int modifiers = candidate.getModifiers();
        if (!Modifier.isPublic(modifiers) || Modifier.isAbstract(modifiers) || candidate.isInterface()
                || !GoPlugin.class.isAssignableFrom(candidate)) {
            return null;
        }
        try {
            return candidate.getConstructor().newInstance();
        } catch (Throwable failed) {
            return failed(candidate, "constructed", failed);
        }
    }

    private boolean call(Object extension, Class<?> candidate, Class<? extends java.lang.annotation.Annotation> kind,
            String done) {
        for (Method method : candidate.getDeclaredMethods()) {
            Class<?>[] parameters = method.getParameterTypes();
            boolean fits = method.isAnnotationPresent(kind) && Modifier.isPublic(method.getModifiers())
                    && !Modifier.isStatic(method.getModifiers()) && parameters.length == 1
                    && parameters[0] == PluginContext.class;
            if (fits) {
                try {
                    method.invoke(extension, new PluginContext() { });
                } catch (Throwable failed) {
                    failed(candidate, done, failed);
                    return false;
                }
            }
        }
        return true;
    }

    private Object failed(Class<?> candidate, String what, Throwable failed) {
        Throwable cause = failed instanceof InvocationTargetException ? failed.getCause() : failed;
        errors.add("Class [" + candidate.getSimpleName() + "] is annotated with @Extension but cannot be " + what
                + ". Reason: " + cause + ".");
        return null;
    }
}
