package com.thoughtworks.go.plugin.activation;

import java.lang.annotation.Annotation;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

import com.thoughtworks.go.plugin.api.GoPluginApiMarker;
import com.thoughtworks.go.plugin.api.annotation.Load;
import com.thoughtworks.go.plugin.api.annotation.UnLoad;
import com.thoughtworks.go.plugin.api.info.PluginContext;

/** One instance of an extension class, with its load and unload methods. */
final class ExtensionInstance {
    private static final PluginContext EMPTY_CONTEXT = new PluginContext() {
    };

    private final Object object;
    private Method unload;

    private ExtensionInstance(Object object) {
        this.object = object;
    }

    /** Null, and an error, where the constructor throws. */
    static ExtensionInstance construct(Class<?> type, List<String> errors) {
        String form = "Class [%s] is annotated with @Extension but cannot be constructed. Reason: %s.";
        try {
            return new ExtensionInstance(newInstance(type));
        } catch (InvocationTargetException thrown) {
            errors.add(String.format(form, type.getSimpleName(), thrown.getTargetException()));
        } catch (Throwable failed) {
            errors.add(String.format(form, type.getSimpleName(), "[" + failed.getCause() + "]"));
        }
        return null;
    }

    static boolean isInner(Class<?> type) {
        return type.isMemberClass() && !Modifier.isStatic(type.getModifiers());
    }

    Object object() {
        return object;
    }

    /** Calls the load method, if there is one. False, and an error, where it throws or there are two. */
    boolean load(List<String> errors, Consumer<String> warnings) {
        String name = object.getClass().getSimpleName();
        try {
            Method load = annotated(Load.class, warnings);
            Method found = annotated(UnLoad.class, warnings);
            if (load != null) {
                load.invoke(object, EMPTY_CONTEXT);
            }
            unload = found;
            return true;
        } catch (InvocationTargetException thrown) {
            errors.add(String.format("Class [%s] is annotated with @Extension but cannot be registered. Reason: %s.",
                    name, thrown.getTargetException()));
        } catch (IllegalAccessException | RuntimeException failed) {
            errors.add(String.format("Class [%s] is annotated with @Extension will not be registered. Reason: %s.",
                    name, failed));
        } catch (Throwable failed) {
            errors.add(String.format("Class [%s] is annotated with @Extension but cannot be constructed or registered. "
                    + "Reason: [%s].", name, failed.getCause()));
        }
        return false;
    }

    /** Calls the unload method, if there is one. */
    void unload(List<String> errors) {
        if (unload == null) {
            return;
        }
        try {
            unload.invoke(object, EMPTY_CONTEXT);
        } catch (InvocationTargetException thrown) {
            errors.add(
                    String.format("Invocation of unload method [%s]. Reason: %s.", unload, thrown.getTargetException()));
        } catch (Throwable failed) {
            errors.add(String.format("Invocation of unload method [%s]. Reason: [%s].", unload, failed));
        }
    }

    /** The interfaces of the plugin API that it implements. One that the plugin brought itself does not count. */
    Set<Class<?>> services() {
        Set<Class<?>> services = new LinkedHashSet<>();
        for (Class<?> type = object.getClass(); type != null; type = type.getSuperclass()) {
            addServices(type, services);
        }
        return services;
    }

    private static void addServices(Class<?> type, Set<Class<?>> services) {
        for (Class<?> candidate : type.getInterfaces()) {
            if (candidate.getClassLoader() == GoPluginApiMarker.class.getClassLoader()
                    && candidate.getAnnotation(GoPluginApiMarker.class) != null) {
                services.add(candidate);
            }
            addServices(candidate, services);
        }
    }

    private static Object newInstance(Class<?> type) throws ReflectiveOperationException {
        if (!isInner(type)) {
            return type.getConstructor().newInstance();
        }
        Class<?> outer = type.getDeclaringClass();
        return type.getConstructor(outer).newInstance(newInstance(outer));
    }

    private Method annotated(Class<? extends Annotation> annotation, Consumer<String> warnings) {
        List<Method> methods = new ArrayList<>();
        for (Method method : object.getClass().getDeclaredMethods()) {
            if (method.getAnnotation(annotation) == null) {
                continue;
            }
            String fault = fault(method);
            if (fault == null) {
                methods.add(method);
            } else {
                warnings.accept(String.format("Ignoring method [%s] tagged with @%s since %s",
                        method, annotation.getSimpleName(), fault));
            }
        }
        if (methods.size() > 1) {
            throw new RuntimeException("More than one method with @" + annotation.getSimpleName()
                    + " annotation not allowed. Methods Found: " + methods);
        }
        return methods.isEmpty() ? null : methods.get(0);
    }

    private static String fault(Method method) {
        if (!Modifier.isPublic(method.getModifiers())) {
            return "its not 'public'";
        }
        if (Modifier.isStatic(method.getModifiers())) {
            return "its 'static' method";
        }
        if (!Arrays.equals(method.getParameterTypes(), new Class<?>[] {PluginContext.class})) {
            return "it does not have one argument of type PluginContext. Argument Types: "
                    + Arrays.toString(method.getParameterTypes());
        }
        return null;
    }
}
