//! What follows from a change of the users on this node: whose user is removed loses its running
//! calls and its records, and new limits hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::front::Front;
use crate::calls::Calls;
use crate::consensus::users::Users;
use crate::id::Name;

/// When calls of a removed user are looked for, after the first time: one may have been on its way
/// between two nodes.
const LOOKS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(3)];

/// Follows the users until their source is gone.
pub async fn follow(mut users: watch::Receiver<Arc<Users>>, front: Arc<Front>, calls: Calls) {
    let mut before = users.borrow_and_update().clone();
    while users.changed().await.is_ok() {
        let now = users.borrow_and_update().clone();
        calls.limit_users(&now);
        for name in removed(&before, &now) {
            calls.end_user(&name);
            front.lanes.forget(&name);
            tokio::spawn(look_again(users.clone(), name, calls.clone()));
        }
        before = now;
    }
}

/// A user of the same name that was made since is another one, whose calls stay.
async fn look_again(users: watch::Receiver<Arc<Users>>, name: Name, calls: Calls) {
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        if users.borrow().get(name.as_str()).is_some() {
            return;
        }
        calls.end_user(&name);
    }
}

/// The users that are none any more, or others of the same name.
fn removed(before: &Users, now: &Users) -> Vec<Name> {
    let gone = before.all().iter().filter(|(name, user)| {
        now.get(name.as_str()).is_none_or(|other| other.created_ms != user.created_ms)
    });
    gone.map(|(name, _)| name.clone()).collect()
}
