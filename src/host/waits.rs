//! Waits of guests: what the rest of the node hears of them.

use std::future::Future;
use std::sync::Arc;

use wasmtime::Caller;

use super::calls;
use crate::function::{CallHost, State};

/// A wait that the calls component knows of; it hears of its end also when the call is cancelled.
pub struct Away(Arc<dyn CallHost>);

impl Away {
    /// It begins.
    pub fn begin(host: Arc<dyn CallHost>) -> Self {
        host.waiting();
        Self(host)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.0.resumed();
    }
}

/// Waits for something that is not there yet; the call's slot is free meanwhile.
pub async fn away<T>(caller: &mut Caller<'_, State>, wait: impl Future<Output = T>) -> T {
    let _away = Away::begin(caller.data().host.clone());
    calls::waiting(caller, wait).await
}
