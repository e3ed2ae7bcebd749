//! Java's longs and our nodes. A handle is never used twice in one copy of the library.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bc_server::node::Node;
use jni::sys::jlong;

struct Table {
    last: jlong,
    open: BTreeMap<jlong, Arc<Node>>,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    last: 0,
    open: BTreeMap::new(),
});

/// Opens a node for Java and keeps it under a new handle.
pub(crate) fn open(settings: &str) -> Result<jlong, bc_server::Error> {
    let node = Arc::new(Node::open_text(settings)?);
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    table.last += 1;
    let handle = table.last;
    table.open.insert(handle, node);
    Ok(handle)
}

/// Hands the next event of the node with this handle, as Java takes it, to `deliver`. It stays the next one if that
/// fails: a release must not be lost because the JVM had no memory for its text.
pub(crate) fn next_event<T: Default, E>(
    handle: jlong,
    ms: jlong,
    deliver: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, E> {
    let wait = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let node = TABLE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .open
        .get(&handle)
        .map(Arc::clone);
    let Some(node) = node else {
        return Ok(T::default());
    };
    let Some(event) = node.next_event(wait) else {
        return Ok(T::default());
    };
    deliver(event.to_text()).inspect_err(|_| node.put_back(event))
}

/// Closes the node with this handle if it is open. The lock is not held meanwhile: others may be waiting for its
/// events.
pub(crate) fn close(handle: jlong) {
    let node = TABLE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .open
        .remove(&handle);
    if let Some(node) = node {
        node.close();
    }
}
