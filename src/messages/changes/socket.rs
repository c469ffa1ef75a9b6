//! Edits and deletion over Socket.IO: translation only.

use super::{Deletion, Edit, delete, edit};
use crate::{
    error::Result,
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};

/// `chat:message:edit`.
pub fn on_edit(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let new = Edit::read(incoming.fields()?, incoming.app.settings.chat.max_content)?;
        let (edited, warnings) = edit(&incoming.app, &*incoming.user()?, new).await?;
        Ok(Answer::of(&edited)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:message:delete`.
pub fn on_delete(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut deletion = Deletion::read(incoming.fields()?)?;
        let warnings = std::mem::take(&mut deletion.warnings);
        let deleted = delete(&incoming.app, &*incoming.user()?, deletion).await?;
        Ok(Answer::of(&deleted)?.warn(warnings).into())
    }
    .boxed()
}
