//! Runs futures.

use std::{future::Future, io};

/// Runs a future to its end, on as many threads as there are processors.
pub(crate) fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}
