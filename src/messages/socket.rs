//! Messages over Socket.IO: translation only.

use super::{NewMessage, send};
use crate::{
    error::Result,
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};

/// `chat:message`.
pub fn on_message(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let new = NewMessage::read(incoming.fields()?, &incoming.app.settings.chat)?;
        let (receipt, warnings) = send(&incoming.app, incoming.user()?, new).await?;
        let stored = async move { Ok(Answer::encoded(receipt.stored().await?.message).warn(warnings)) };
        Ok(Outcome::Later(stored.boxed()))
    }
    .boxed()
}
