//! How every change of a room, or of what is in it, begins and ends: so that numbers, rights and what is told agree.

use super::{
    RoomId, RoomRef, Seat,
    store::{self, lock},
    turns::Turn,
};
use crate::{
    app::App,
    error::{Error, Result},
    pool::Transaction,
    users::UserId,
};

/// A change that has begun: the room's turn, its row locked, and the caller's place in the room as it is under the lock.
/// What was read before it may have changed while waiting; rights are decided by this one.
pub struct Change {
    /// The room, and the caller's place in it.
    pub seat: Seat,
    /// In which everything is changed.
    pub tx: Transaction,
    turn: Turn,
}

impl Change {
    /// Begins to change a room for somebody who may see it.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`, `UNAVAILABLE` if the room's turn does not come in time.
    pub async fn begin(app: &App, caller: &UserId, room: RoomId) -> Result<Self> {
        let turn = app.turns.take(room, app.patience()).await?;
        let mut tx = app.begin().await?;
        lock(&mut tx, room).await?;
        let seat = store::find(&mut *tx, caller, &RoomRef::Id(room)).await?.ok_or(Error::RoomNotFound)?;
        Ok(Self { seat, tx, turn })
    }

    /// Changes nothing, and gives the turn.
    ///
    /// # Errors
    /// `UNAVAILABLE` without the database.
    pub async fn abandon(self) -> Result<Turn> {
        self.tx.rollback().await?;
        Ok(self.turn)
    }

    /// Commits, and gives the turn: to be kept until everybody has been told.
    ///
    /// # Errors
    /// `UNAVAILABLE` without the database; whether it was committed is not known then.
    pub async fn commit(self) -> Result<Turn> {
        self.tx.commit().await?;
        Ok(self.turn)
    }
}
