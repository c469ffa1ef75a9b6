//! Pins over Socket.IO: translation only.

use super::{pin, read, unpin};
use crate::{
    error::Result,
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};

/// `chat:message:pin`.
pub fn on_pin(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, warnings) = read(incoming.fields()?)?;
        let pinned = pin(&incoming.app, &*incoming.user()?, id).await?;
        Ok(Answer::of(&pinned)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:message:unpin`.
pub fn on_unpin(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, warnings) = read(incoming.fields()?)?;
        let unpinned = unpin(&incoming.app, &*incoming.user()?, id).await?;
        Ok(Answer::of(&unpinned)?.warn(warnings).into())
    }
    .boxed()
}
