//! Receipts over Socket.IO: translation only.

use super::{Mark, mark, mark_unread};
use crate::{
    error::Result,
    payload::Length,
    rooms::RoomRef,
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};

/// `chat:read`.
pub fn on_read(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut read = Mark::read(incoming.fields()?)?;
        let warnings = std::mem::take(&mut read.warnings);
        let Incoming { app, connection, .. } = incoming;
        let marked = mark(&app, &*connection.user()?, Some(connection.id), &read).await?;
        Ok(Answer::of(&marked)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:unread:mark`.
pub fn on_unread(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let (room, seq) = (fields.required_text("roomId", Length::new(1, 64)), fields.required_seq("seq", 1));
        let warnings = fields.finish()?;
        let Incoming { app, connection, .. } = incoming;
        let marked = mark_unread(&app, &*connection.user()?, Some(connection.id), &RoomRef::parse(&room)?, seq).await?;
        Ok(Answer::of(&marked)?.warn(warnings).into())
    }
    .boxed()
}
