//! Who wants to hear of whom: a connection may name users whose coming and going it is told of though no room is shared.

use super::{Presence, RoomPresence, Status, of_room, seen, shown};
use crate::{
    app::App,
    error::{Error, Result},
    realtime::{Connection, ConnectionId},
    rooms::RoomRef,
    users::UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Most users that one connection hears of by subscription, over all of its subscriptions.
pub const USERS: usize = 500;
/// Most rooms in one subscription.
pub const ROOMS: usize = 20;

/// The subscriptions of all connections of this process. They end with the connection.
#[derive(Default)]
pub struct Subscriptions(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    by_user: HashMap<UserId, HashSet<ConnectionId>>,
    by_connection: HashMap<ConnectionId, HashSet<UserId>>,
}

impl Subscriptions {
    /// Adds users to those that a connection hears of; says no, and adds nobody, if they would be too many.
    fn add(&self, connection: ConnectionId, users: &[UserId]) -> bool {
        let mut tables = self.lock();
        let known = tables.by_connection.get(&connection);
        let fresh: Vec<&UserId> = users.iter().filter(|user| known.is_none_or(|known| !known.contains(*user))).collect();
        if known.map_or(0, HashSet::len) + fresh.len() > USERS {
            return false;
        }
        for user in fresh {
            tables.by_user.entry(user.clone()).or_default().insert(connection);
            tables.by_connection.entry(connection).or_default().insert(user.clone());
        }
        true
    }

    /// A connection has ended.
    pub fn forget(&self, connection: ConnectionId) {
        let mut tables = self.lock();
        for user in tables.by_connection.remove(&connection).unwrap_or_default() {
            if let Some(watchers) = tables.by_user.get_mut(&user) {
                watchers.remove(&connection);
                if watchers.is_empty() {
                    tables.by_user.remove(&user);
                }
            }
        }
    }

    /// The connections that hear of a user.
    pub fn of(&self, user: &UserId) -> Vec<ConnectionId> {
        self.lock().by_user.get(user).into_iter().flatten().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The presence of all that were named, as it is now.
#[derive(Serialize, JsonSchema)]
pub struct Subscribed {
    /// Of each user that was named.
    users: Vec<Status>,
    /// Of the members of each room that was named.
    rooms: Vec<RoomPresence>,
}

/// Tells a connection from now on when these users come and go, and says who is here. Rooms need no subscription: whoever is
/// in one is told of its members, and in one that is too large for that nobody is.
///
/// # Errors
/// `USER_NOT_FOUND`, naming those who do not exist; `ROOM_NOT_FOUND`, `NOT_A_MEMBER`; `VALIDATION_ERROR` for too many users.
pub async fn subscribe(app: &App, connection: &Connection, user: &UserId, users: &[String], rooms: &[RoomRef]) -> Result<Subscribed> {
    let mut found = Vec::with_capacity(rooms.len());
    for room in rooms {
        found.push(of_room(app, user, room).await?);
    }
    let seen = seen(app, users).await?;
    // Before looking who is here: whoever comes or goes from now on is told.
    let Presence { subscriptions, .. } = &app.presence;
    let named: Vec<UserId> = seen.iter().map(|(user, _)| user.clone()).collect();
    if !subscriptions.add(connection.id, &named) {
        return Err(Error::field("userIds", "too_long", format!("A connection hears of at most {USERS} users.")));
    }
    if app.realtime.connection(connection.id).is_none() {
        // It ended meanwhile, and will not end again.
        subscriptions.forget(connection.id);
    }
    Ok(Subscribed { users: shown(app, users, &seen), rooms: found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_connection_hears_of_so_many_users_and_no_more_and_leaves_nothing_behind() {
        let subscriptions = Subscriptions::default();
        let users: Vec<UserId> = (0..=USERS).map(|n| UserId::parse(&n.to_string()).unwrap()).collect();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));

        assert!(subscriptions.add(one, &users[..USERS]));
        assert!(!subscriptions.add(one, &users[USERS..]));
        assert!(subscriptions.add(one, &users[..USERS]), "those it hears of already need no room");
        assert!(subscriptions.add(other, &users[USERS..]));

        assert_eq!((subscriptions.of(&users[0]), subscriptions.of(&users[USERS])), (vec![one], vec![other]));
        subscriptions.forget(one);
        subscriptions.forget(other);
        assert!(subscriptions.lock().by_user.is_empty() && subscriptions.lock().by_connection.is_empty());
    }
}
