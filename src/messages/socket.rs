//! Messages over Socket.IO: translation only.

use super::{NewMessage, draft, journal::Stored};
use crate::{
    error::Result,
    realtime::wire::Outbox,
    socket::{Answer, Incoming, Outcome, Reply},
};
use futures_util::{FutureExt, future::BoxFuture};

/// `chat:message`.
pub fn on_message(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let new = NewMessage::read(incoming.fields()?, &incoming.app.settings.chat)?;
        let Incoming { app, connection, .. } = incoming;
        let (draft, warnings) = draft(&app, connection.user()?, new).await?;
        let place = app.journal.reserve(&draft).await?;
        let hand_on = move |reply: Reply| {
            let told = move |stored: Result<Stored>, outbox: &mut Outbox| {
                reply(stored.map(|stored| Answer::encoded(stored.message).warn(warnings)), outbox);
            };
            app.journal.submit(place, draft, Box::new(told));
        };
        Ok(Outcome::Later(Box::new(hand_on)))
    }
    .boxed()
}
