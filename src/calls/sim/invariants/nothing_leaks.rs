//! When no call lives, a node holds nothing for calls.

use crate::calls::sim::world::SimNode;

/// Looks at a node's books.
pub fn check(node: &SimNode) -> Result<(), String> {
    let inner = &node.calls.inner;
    let users = inner.users.iter();
    let users: Vec<_> = users.map(|user| format!("{:?}", user.value())).collect();
    let counts = [
        ("live calls", inner.live.len()),
        ("roots", inner.roots.len()),
        ("outgoing calls", inner.outgoing.lock().len()),
        ("answers", inner.answers.lock().len()),
        ("calls to confirm", inner.unaccepted.lock().len()),
        ("held bytes", inner.budget.held()),
        ("instances of functions", inner.functions.iter().map(|f| f.book.live()).sum()),
        ("live calls of users", inner.users.iter().map(|user| user.live()).sum()),
    ];
    let scheduler = node.scheduler.leftovers();
    let left: Vec<_> =
        counts.into_iter().chain(scheduler).filter(|(_, count)| *count != 0).collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(format!("{} has these left: {left:?}; {users:?}", node.life.node))
}
