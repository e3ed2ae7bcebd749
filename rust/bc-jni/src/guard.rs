//! The guard around every native: an error or a panic becomes one Java exception, and the JVM lives.
//!
//! A pending Java exception is kept. The policies that come with jni lose the message of a formatted panic,
//! hence our own.

use std::any::Any;

use jni::{
    Env, EnvUnowned,
    errors::{Error as JniError, ErrorPolicy},
    jni_str,
    strings::JNIString,
};

/// What a native can fail with.
pub(crate) enum Failure {
    /// The node said no.
    Node(bc_server::Error),
    /// The JVM did.
    Jni(JniError),
}

impl From<bc_server::Error> for Failure {
    fn from(error: bc_server::Error) -> Self {
        Failure::Node(error)
    }
}

impl From<JniError> for Failure {
    fn from(error: JniError) -> Self {
        Failure::Jni(error)
    }
}

/// Runs the work of one native: an error or a panic in it becomes a Java exception.
pub(crate) fn guarded<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    work: impl FnOnce(&mut Env<'local>) -> Result<T, Failure>,
) -> T {
    env.with_env(work).resolve::<ThrowRuntimeException>()
}

struct ThrowRuntimeException;

impl<T: Default> ErrorPolicy<T, Failure> for ThrowRuntimeException {
    type Captures<'env: 'native, 'native> = ();

    fn on_error<'env: 'native, 'native>(
        env: &mut Env<'env>,
        _captures: &mut (),
        failure: Failure,
    ) -> Result<T, JniError> {
        match failure {
            Failure::Node(error) => throw(env, &error.to_string())?,
            Failure::Jni(error) => throw(env, &format!("the Java side of a call failed: {error}"))?,
        }
        Ok(T::default())
    }

    fn on_panic<'env: 'native, 'native>(
        env: &mut Env<'env>,
        _captures: &mut (),
        payload: Box<dyn Any + Send + 'static>,
    ) -> Result<T, JniError> {
        throw(
            env,
            &format!("a defect in GoCD Business Continuity: {}", panic_message(&*payload)),
        )?;
        Ok(T::default())
    }
}

/// The message of a panic in a native: `panic!("text")` carries a static text, a formatted one a `String`.
fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}

fn throw(env: &mut Env<'_>, message: &str) -> Result<(), JniError> {
    if env.exception_check() {
        return Ok(());
    }
    match env.throw_new(jni_str!("java/lang/RuntimeException"), JNIString::new(message)) {
        // Having thrown is what was wanted.
        Ok(()) | Err(JniError::JavaException) => Ok(()),
        Err(error) => Err(error),
    }
}
