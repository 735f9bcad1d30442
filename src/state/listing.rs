//! Values of many shards in order of their names: a page costs what is in it, however many there
//! are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tokio::sync::oneshot;

use super::driver::Driver;
use super::store::StoreError;
use crate::wire::shards::{ShardId, StateKey};
use crate::wire::state::{List, Listed, MAX_LISTED};

/// Values that are taken of a shard at once beyond its part of the page: more of them may follow.
const SPARE: usize = 8;

/// Values, and of how many shards.
pub type Page = (Vec<Listed>, u32);

impl Driver {
    /// Lists values of the shards that this node serves, on another thread.
    pub(super) fn list(&self, list: List, reply: oneshot::Sender<Page>) {
        let epoch = |shard: &ShardId| Some((*shard, self.serves(*shard)?));
        let served: Vec<(ShardId, u64)> = self.copies.keys().filter_map(epoch).collect();
        let (store, shared) = (self.store.clone(), self.shared.clone());
        let consensus = self.consensus.clone();
        self.runtime.spawn_blocking(move || {
            let list = List { most: list.most.min(MAX_LISTED), ..list };
            let shards: Vec<ShardId> = served.iter().map(|(shard, _)| *shard).collect();
            let listed = merge(&shards, list, |shard, list| store.list(shard, list));
            // Time has passed since it was looked who serves them.
            let still = served.iter().filter(|(shard, epoch)| {
                shared.serving(*shard) == *epoch && consensus.owns(*shard, *epoch)
            });
            let count = if listed.is_ok() { still.count() } else { 0 };
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let _ = reply.send((listed.unwrap_or_default(), count));
        });
    }
}

/// What was taken of one shard and is not in the page yet.
struct Taken {
    shard: ShardId,
    some: VecDeque<Listed>,
    /// There is nothing behind them.
    last: bool,
}

/// The first values of all shards together.
fn merge(
    shards: &[ShardId],
    list: List,
    mut take: impl FnMut(ShardId, &List) -> Result<Vec<Listed>, StoreError>,
) -> Result<Vec<Listed>, StoreError> {
    let most = list.most as usize;
    let at_once = (most / shards.len().max(1) + SPARE).min(most);
    let mut list = List { most: u32::try_from(at_once).unwrap_or(u32::MAX), ..list };
    let mut all = Vec::with_capacity(shards.len());
    let mut next: BinaryHeap<Reverse<(StateKey, usize)>> = BinaryHeap::new();
    for (at, shard) in shards.iter().enumerate() {
        let some = VecDeque::from(take(*shard, &list)?);
        next.extend(some.front().map(|first| Reverse((first.key.clone(), at))));
        all.push(Taken { shard: *shard, last: some.len() < at_once, some });
    }
    let mut page = Vec::with_capacity(most.min(MAX_LISTED as usize));
    while page.len() < most
        && let Some(Reverse((_, at))) = next.pop()
    {
        let Some(of) = all.get_mut(at) else { continue };
        let Some(listed) = of.some.pop_front() else { continue };
        if of.some.is_empty() && !of.last {
            list.after = Some(listed.key.clone());
            of.some = take(of.shard, &list)?.into();
            of.last = of.some.len() < at_once;
        }
        next.extend(of.some.front().map(|first| Reverse((first.key.clone(), at))));
        page.push(listed);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::state::{Stat, Version};

    fn listed(number: u32) -> Listed {
        let key = StateKey { user: "u".into(), key: format!("{number:06}") };
        let version = Version { generation: 1, seq: 1 };
        Listed { key, stat: Stat { version, len: 1, appended: 0, token: 0 } }
    }

    /// Pages of so many values, over shards that hold them as they come, or one after the other.
    fn pages(count: u32, most: u32, spread: bool) -> (Vec<Listed>, usize, usize) {
        let shards: Vec<ShardId> = (0..128).map(ShardId).collect();
        let mut of: Vec<Vec<Listed>> = vec![Vec::new(); 128];
        for number in 0..count {
            let at = if spread { number % 128 } else { number * 128 / count };
            of[at as usize].push(listed(number));
        }
        let (mut all, mut pages, mut taken) = (Vec::new(), 0, 0);
        let mut after = None;
        loop {
            let (user, prefix) = ("u".to_owned(), String::new());
            let list = List { user, prefix, after: after.clone(), most };
            let page = merge(&shards, list, |shard, list| {
                let values = &of[usize::from(shard.0)];
                let start = values.partition_point(|value| Some(&value.key) <= list.after.as_ref());
                let end = values.len().min(start + list.most as usize);
                taken += end - start;
                Ok(values[start..end].to_vec())
            })
            .unwrap();
            pages += 1;
            let full = page.len() == most as usize;
            after = page.last().map(|last| last.key.clone());
            all.extend(page);
            if !full {
                return (all, pages, taken);
            }
        }
    }

    #[test]
    fn pages_hold_all_values_in_order_and_cost_what_is_in_them() {
        for (count, most) in [(0, 10), (1, 1), (1_000, 1), (1_000, 7), (20_000, 1_000)] {
            for spread in [true, false] {
                let (all, pages, taken) = pages(count, most, spread);
                let expected: Vec<Listed> = (0..count).map(listed).collect();
                assert!(all == expected, "{count} in pages of {most}");
                let fair = pages * (most as usize + 128 * (1 + SPARE));
                assert!(taken <= 3 * fair, "{taken} values were taken for {pages} pages of {most}");
            }
        }
    }
}
