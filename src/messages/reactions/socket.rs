//! Reactions over Socket.IO: translation only.

use super::{add, read, remove};
use crate::{
    error::Result,
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};

/// `chat:reaction:add`.
pub fn on_add(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, emoji, warnings) = read(incoming.fields()?)?;
        let reacted = add(&incoming.app, &*incoming.user()?, id, &emoji).await?;
        Ok(Answer::of(&reacted)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:reaction:remove`.
pub fn on_remove(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, emoji, warnings) = read(incoming.fields()?)?;
        let reacted = remove(&incoming.app, &*incoming.user()?, id, &emoji).await?;
        Ok(Answer::of(&reacted)?.warn(warnings).into())
    }
    .boxed()
}
