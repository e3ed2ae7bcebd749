//! The three natives of the plugin jar.
//!
//! Each is: guard, convert, call one function of [`bc_server::node::Node`], convert. No decision is made here,
//! no Rust thread is ever attached to the JVM, and nothing calls back into Java.
//!
//! | Java (class `Native`) | here |
//! |---|---|
//! | `long open(String settings)` | opens a node; throws with a readable message |
//! | `String nextEvent(long node, long ms)` | waits for an event; null when there is none |
//! | `void close(long node)` | idempotent; joins every native thread |

use jni::{
    EnvUnowned,
    objects::{JClass, JString},
    sys::jlong,
};

mod guard;
mod handles;
#[cfg(feature = "provoke")]
mod provoke;

use guard::guarded;

/// The native `open` of Java: opens a node from the text of a `java.util.Properties` and returns its handle.
///
/// # Safety
/// Called by the JVM with the arguments of `Native.open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Java_cd_go_contrib_businesscontinuity_Native_open<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    settings: JString<'local>,
) -> jlong {
    guarded(env, |env| {
        let settings = settings.try_to_string(env)?;
        #[cfg(feature = "provoke")]
        let settings = provoke::on_open(env, settings)?;
        Ok(handles::open(&settings)?)
    })
}

/// The native `nextEvent` of Java: the next event of a node, or null when none came within `ms` milliseconds.
///
/// # Safety
/// Called by the JVM with the arguments of `Native.nextEvent`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Java_cd_go_contrib_businesscontinuity_Native_nextEvent<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    node: jlong,
    ms: jlong,
) -> JString<'local> {
    guarded(env, |env| {
        #[cfg(feature = "provoke")]
        provoke::on_next_event(env)?;
        Ok(handles::next_event(node, ms, |text| JString::from_str(env, text))?)
    })
}

/// The native `close` of Java: closes a node; a handle that is not open is left alone.
///
/// # Safety
/// Called by the JVM with the arguments of `Native.close`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Java_cd_go_contrib_businesscontinuity_Native_close<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    node: jlong,
) {
    guarded(env, |_| {
        handles::close(node);
        Ok(())
    })
}
